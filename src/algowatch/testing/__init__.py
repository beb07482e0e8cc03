"""Help for tests: a fake clock, captured metrics, the PromQL script runner."""
