"""What is fast stays fast: one command per bar."""
