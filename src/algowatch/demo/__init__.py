"""Simulated trading systems, used by `algowatch demo`, the examples and the tests."""
