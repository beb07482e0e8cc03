"""A recording rule: the expression's samples under a new name."""

from __future__ import annotations

from algowatch.errors import EvaluationError
from algowatch.model.labels import METRIC_NAME, Labels
from algowatch.model.protocols import InstantQuery
from algowatch.rules.specs import RecordingSpec
from algowatch.rules.vector import samples_of


class RecordingRule:
    """One `record` of a rule file; it has no state."""

    def __init__(self, spec: RecordingSpec, query: InstantQuery) -> None:
        self.spec = spec
        self._query = query

    def evaluate(self, at_ms: int, query_offset_ms: int = 0, limit: int = 0) -> list[tuple[Labels, float]]:
        """The samples to store.

        Raises: QueryError; EvaluationError where two series become one or there are more than `limit`.
        """
        result = self._query(self.spec.expr, at_ms - query_offset_ms)
        renamed = {METRIC_NAME: self.spec.record, **self.spec.labels.as_dict()}
        samples = [(labels.with_labels(renamed), value) for labels, value in samples_of(result)]
        if len({labels for labels, _ in samples}) != len(samples):
            raise EvaluationError("vector contains metrics with the same labelset after applying rule labels")
        if limit > 0 and len(samples) > limit:
            raise EvaluationError(f"exceeded limit of {limit} with {len(samples)} series")
        return samples
