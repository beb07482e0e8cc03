"""The five kinds of trading system, as data: families, rule files, settings."""
