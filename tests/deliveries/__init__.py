"""Payments delivered badly: duplicated, shuffled, delayed, forged, and with a database that fails now and then."""
