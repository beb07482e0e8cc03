"""Observability for algorithmic trading systems.

    import algowatch

    watch = algowatch.start("gamma-bot", profile="options")

This gives the bot side only: nothing here imports numpy, SQLite or a server.
"""

__version__ = "0.1.0"
