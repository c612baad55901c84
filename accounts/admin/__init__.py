"""The desk's tables of accounts, split like its rows: people, shops, workspaces, keys, the trail."""

from accounts.admin import keys, people, shops, trail, workspaces

__all__ = ["keys", "people", "shops", "trail", "workspaces"]
