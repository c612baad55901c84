"""The call itself: front doors, dialects, providers, metering."""
