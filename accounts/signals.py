"""What accounts announces to the rooms above, inside the transaction that made it true.

``organization_created`` (organization): billing opens its account. ``access_changed`` (organization): something that
decides what a call may do has changed (a key, a member, a cap, a limit, the standing); billing bumps its epoch.
``mailbox_proven`` (user, email, storefront): somebody has shown that they read this mailbox; billing gives the trial.
"""

from django.dispatch import Signal

organization_created = Signal()
access_changed = Signal()
mailbox_proven = Signal()
