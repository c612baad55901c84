"""The management API, ``/api/v1/``: a door that reads requests strictly, makes one call into a room, and answers."""
