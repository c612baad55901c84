"""Two worlds outside, as real HTTP on loopback: an AI provider and a payment service. Never in production."""
