"""Scrape configuration, discovery, the scrape loop and the parsers of what it brings."""
