"""Commands of plumbing."""
