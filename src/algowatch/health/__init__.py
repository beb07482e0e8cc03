"""Whether a bot is alive and ready: checks and the endpoints that tell."""

from algowatch.health.registry import Check, CheckResult, HealthRegistry, attach

__all__ = ["Check", "CheckResult", "HealthRegistry", "attach"]
