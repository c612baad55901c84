"""The one way rooms say no: an exception whose text is a sentence for whoever asked."""


class Refused(ValueError):
    """What was asked cannot be; doors show the sentence."""
