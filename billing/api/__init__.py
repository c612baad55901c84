"""The management API of money: balance, top-ups, receipts, cards, auto-recharge, codes."""
