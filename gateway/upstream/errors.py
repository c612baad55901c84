"""How a call outwards fails: the tree drawn at the door of this package, in classes."""


class UpstreamError(Exception):
    """A call that did not come back whole. ``sent`` says whether the provider may have seen (and bill) the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Unsendable(UpstreamError):
    """Not a request HTTP can carry."""


class Refused(UpstreamError):
    """An address we do not call."""


class ConnectFailed(UpstreamError):
    """No connection came about."""


class TimedOut(UpstreamError):
    """``which`` of the four patiences ran out."""

    def __init__(self, which: str, *, sent: bool = True) -> None:
        super().__init__(f"the provider took too long ({which})", sent=sent)
        self.which = which


class TooLarge(UpstreamError):
    """``what`` outgrew its cap."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the provider's {what} outgrew its cap", sent=True)
        self.what = what


class Broken(UpstreamError):
    """The answer ended too early or was no HTTP; ``answered`` says whether a status had come."""

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message, sent=True)
        self.answered = answered
