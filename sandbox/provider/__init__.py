"""An AI provider that needs no network, no key of anybody's and no money: the first world outside.

Promise: it speaks the OpenAI, Anthropic and Gemini wire formats as those companies do, streams and errors included; the
same request always gets the same words; it keeps its own books of what it was asked, what it delivered and what it
would bill, so that ours can be checked against a stranger's; and it misbehaves exactly as it is told to. It is a plain
ASGI application that imports neither Django nor any of our rooms.

    python -m sandbox.provider --port 9200 --key sk-sandbox --control-key secret    its own server, on loopback
    provider = Provider(keys={"sk-sandbox"})                                        an application to mount

What it sells, how it counts tokens and which faults it has: ``models.py``, ``tokens.py``, ``faults.py``.
"""

from sandbox.provider.app import Provider

__all__ = ["Provider"]
