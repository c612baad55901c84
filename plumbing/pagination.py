"""Every list is read in pages that hold still: a cursor instead of a page number."""

from rest_framework import pagination


class CursorPagination(pagination.CursorPagination):
    """Newest first, fifty at a time, two hundred at most."""

    ordering = ("-created_at", "-id")
    page_size_query_param = "limit"
    max_page_size = 200
