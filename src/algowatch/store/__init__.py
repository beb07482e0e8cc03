"""The time-series store on SQLite."""
