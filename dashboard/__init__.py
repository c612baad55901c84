"""The customer's pages: from the first visit to the last receipt."""
