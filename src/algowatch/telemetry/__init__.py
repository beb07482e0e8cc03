"""The bot side: recorders, exporter, registration for discovery, the direct alert path."""
