"""The customer's pages. Views only translate: a form into one call to a room, an answer into a page."""
