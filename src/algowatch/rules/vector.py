"""What a rule takes from a query: an instant vector, or a scalar as one sample without labels."""

from __future__ import annotations

from algowatch.errors import EvaluationError
from algowatch.model.labels import Labels
from algowatch.model.protocols import QueryResult


def samples_of(result: QueryResult) -> list[tuple[Labels, float]]:
    """Raises: EvaluationError for a range vector or a string."""
    if result.type not in ("vector", "scalar"):
        raise EvaluationError(f"rule result is not a vector or scalar but a {result.type}")
    return result.samples()
