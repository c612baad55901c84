"""Pages travel compressed, and nothing else does.

Promise: whole HTML pages alone are compressed. Streams, files, JSON and every answer of the gateway leave as they are,
so that no byte of an API and no latency of a stream depends on it. Django adds a random length to each page, so that
its size tells nothing of what is in it.
"""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware


class PageCompressionMiddleware(GZipMiddleware):
    """Compress pages for browsers that say they can read that."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Leave alone what is no whole page."""
        if response.streaming or not response.get("Content-Type", "").startswith("text/html"):
            return response
        return super().process_response(request, response)
