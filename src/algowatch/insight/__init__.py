"""Readers of history: what answers a person's questions about it, outside the running engine."""
