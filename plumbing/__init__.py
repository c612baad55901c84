"""What every room needs and nobody should write twice: outbox, outward door, secrets, notices, identifiers."""
