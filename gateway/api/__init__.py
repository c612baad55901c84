"""The gateway's part of the management API: calls, receipts, and the fair-billing table."""
