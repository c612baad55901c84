"""Public names of rows: a short prefix that says what it is, and 100 random bits that say which.

Promise: identifiers shown to the outside never count anything, cannot be guessed, and read well in a log.
Primary keys stay plain 64-bit integers and never leave the installation.
"""

import secrets

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no letter that looks like a digit
LENGTH = 20
LETTERS = (ALPHABET * 8).encode()  # a letter for each byte there is; each letter stands for eight of them


def new_id(prefix: str) -> str:
    """Return a fresh public identifier such as ``org_7h2k...``."""
    return f"{prefix}_{secrets.token_bytes(LENGTH).translate(LETTERS).decode()}"
