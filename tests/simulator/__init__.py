"""Seeded histories against the real ledger, and the machinery long proofs share."""
