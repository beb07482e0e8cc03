from __future__ import annotations

import math

import numpy as np
import pytest

from algowatch.errors import EvaluationError
from algowatch.model.labels import Labels
from algowatch.promql.binary import calculate, set_operation, vector_operation, with_scalar
from algowatch.promql.nodes import VectorMatching
from algowatch.promql.vectors import Vector
from promql.series import NAN, labels


def vector(rows: dict[Labels, list[float | None]]) -> Vector:
    present = np.array([[value is not None for value in row] for row in rows.values()])
    values = np.array([[0.0 if value is None else value for value in row] for row in rows.values()])
    return Vector(list(rows), values, None if present.all() else present)


def found(result: Vector) -> dict[Labels, list[float | None]]:
    return {
        row: [value if here else None for value, here in zip(values, mask, strict=True)]
        for row, values, mask in zip(result.labels, result.values.tolist(), result.mask().tolist(), strict=True)
    }


def combine(
    op: str, lhs: Vector, rhs: Vector, return_bool: bool = False, **matching: object
) -> dict[Labels, list[float | None]]:
    return found(vector_operation(op, lhs, rhs, VectorMatching(**matching), return_bool, False))  # type: ignore[arg-type]


A, B = labels("m", x="a"), labels("m", x="b")


class TestOperators:
    @pytest.mark.parametrize(
        ("op", "one", "other", "expected"),
        [
            ("+", 2, 3, 5),
            ("-", 2, 3, -1),
            ("*", 2, 3, 6),
            ("/", 1, 0, math.inf),
            ("%", 7, 3, 1),
            ("%", -7, 3, -1),
            ("^", 2, 0.5, math.sqrt(2)),
            ("atan2", 1, -1, 3 * math.pi / 4),
            ("==", 1, 1, 1),
            (">", 1, 1, 0),
        ],
    )
    def test_calculates(self, op: str, one: float, other: float, expected: float) -> None:
        assert calculate(op, np.array([one], float), np.array([other], float)) == pytest.approx([expected])

    @pytest.mark.parametrize(("op", "one", "other"), [("/", 0, 0), ("%", 1, 0), ("^", -8, 1 / 3)])
    def test_gives_nan_where_there_is_no_answer(self, op: str, one: float, other: float) -> None:
        assert math.isnan(calculate(op, np.array([one], float), np.array([other], float))[0])


class TestWithScalar:
    def test_a_comparison_filters_and_keeps_the_name_and_the_vectors_value(self) -> None:
        source = vector({A: [1, 5]})
        kept = with_scalar(">", source, np.array([3.0, 3.0]), scalar_first=False, return_bool=False, delayed=False)
        assert found(kept) == {A: [None, 5]}
        kept = with_scalar(">", source, np.array([3.0, 3.0]), scalar_first=True, return_bool=False, delayed=False)
        assert found(kept) == {A: [1, None]}

    def test_bool_gives_one_and_zero_and_drops_the_name(self) -> None:
        kept = with_scalar(">", vector({A: [1, 5]}), np.array([3.0, 3.0]), scalar_first=False, return_bool=True, delayed=False)
        assert found(kept) == {labels(x="a"): [0, 1]}


class TestMatching:
    def test_one_to_one_ignores_the_metric_name(self) -> None:
        lhs, rhs = vector({A: [1], B: [2]}), vector({labels("n", x="b"): [10], labels("n", x="a"): [20]})
        assert combine("+", lhs, rhs) == {labels(x="a"): [21], labels(x="b"): [12]}

    def test_only_steps_at_which_both_are_present_give_a_value(self) -> None:
        assert combine("+", vector({A: [1, None, 3]}), vector({A: [10, 20, None]})) == {labels(x="a"): [11, None, None]}

    def test_on_keeps_the_labels_that_matched(self) -> None:
        lhs, rhs = vector({labels("m", x="a", y="1"): [1]}), vector({labels("n", x="a", z="2"): [5]})
        assert combine("*", lhs, rhs, on=True, labels=("x",)) == {labels(x="a"): [5]}
        assert combine("*", lhs, rhs, labels=("y", "z")) == {labels(x="a"): [5]}

    def test_a_filter_keeps_the_left_value_and_name(self) -> None:
        lhs, rhs = vector({A: [1, 9]}), vector({labels("n", x="a"): [5, 5]})
        assert combine(">", lhs, rhs) == {A: [None, 9]}
        assert combine(">", lhs, rhs, return_bool=True) == {labels(x="a"): [0, 1]}

    def test_group_left_copies_labels_of_the_one_side(self) -> None:
        lhs = vector({labels("m", x="a", cpu="0"): [1], labels("m", x="a", cpu="1"): [2]})
        rhs = vector({labels("n", x="a", role="db"): [10]})
        result = combine("*", lhs, rhs, card="many-to-one", on=True, labels=("x",), include=("role",))
        assert result == {labels(x="a", cpu="0", role="db"): [10], labels(x="a", cpu="1", role="db"): [20]}

    def test_group_right_keeps_the_order_of_the_operands(self) -> None:
        lhs = vector({labels("n", x="a"): [10]})
        rhs = vector({labels("m", x="a", cpu="0"): [1], labels("m", x="a", cpu="1"): [2]})
        result = combine("-", lhs, rhs, card="one-to-many", on=True, labels=("x",))
        assert result == {labels(x="a", cpu="0"): [9], labels(x="a", cpu="1"): [8]}

    def test_group_left_deletes_a_label_that_the_one_side_lacks(self) -> None:
        lhs, rhs = vector({labels("m", x="a", role="old"): [1]}), vector({labels("n", x="a"): [1]})
        result = combine("*", lhs, rhs, card="many-to-one", on=True, labels=("x",), include=("role",))
        assert result == {labels(x="a"): [1]}

    def test_two_on_the_right_of_a_group_are_an_error_that_names_both(self) -> None:
        lhs = vector({labels("m", x="a"): [1]})
        rhs = vector({labels("n", x="a", y="1"): [1], labels("n", x="a", y="2"): [1]})
        with pytest.raises(EvaluationError) as caught:
            combine("+", lhs, rhs, on=True, labels=("x",))
        assert str(caught.value) == (
            'found duplicate series for the match group {x="a"} on the right hand-side of the operation: '
            '[{__name__="n", x="a", y="1"}, {__name__="n", x="a", y="2"}];'
            "many-to-many matching not allowed: matching labels must be unique on one side"
        )

    def test_two_on_the_left_need_group_left(self) -> None:
        lhs = vector({labels("m", x="a", y="1"): [1], labels("m", x="a", y="2"): [1]})
        with pytest.raises(EvaluationError, match="many-to-one matching must be explicit"):
            combine("+", lhs, vector({A: [1]}), on=True, labels=("x",))

    def test_a_filter_that_lets_nothing_through_still_finds_the_double_match(self) -> None:
        lhs = vector({labels("m", x="a", y="1"): [1], labels("m", x="a", y="2"): [1]})
        with pytest.raises(EvaluationError, match="many-to-one matching must be explicit"):
            combine(">", lhs, vector({A: [5]}), on=True, labels=("x",))

    def test_series_that_take_turns_are_no_double_match(self) -> None:
        lhs = vector({labels("m", x="a", y="1"): [1, None], labels("m", x="a", y="2"): [None, 2]})
        rhs = vector({labels("n", x="a", z="1"): [10, None], labels("n", x="a", z="2"): [None, 20]})
        assert combine("+", lhs, rhs, on=True, labels=("x",)) == {labels(x="a"): [11, 22]}

    def test_results_that_grouping_labels_do_not_tell_apart_are_an_error(self) -> None:
        lhs = vector({labels("m", x="a", role="1"): [1], labels("m", x="a", role="2"): [1]})
        rhs = vector({labels("n", x="a", role="db"): [10]})
        with pytest.raises(EvaluationError, match="grouping labels must ensure unique matches"):
            combine("*", lhs, rhs, card="many-to-one", on=True, labels=("x",), include=("role",))

    def test_fill_stands_in_for_a_missing_side(self) -> None:
        lhs, rhs = vector({A: [1, 1]}), vector({labels("n", x="a"): [5, None], labels("n", x="b"): [7, 7]})
        assert combine("+", lhs, rhs, fill_lhs=100.0, fill_rhs=200.0) == {
            labels(x="a"): [6, 201],
            labels(x="b"): [107, 107],
        }
        assert combine("+", lhs, rhs, fill_rhs=200.0) == {labels(x="a"): [6, 201]}


class TestSets:
    def test_and_or_unless_look_at_presence_step_by_step(self) -> None:
        lhs, rhs = vector({A: [1, 2, None]}), vector({labels("n", x="a"): [9, None, 7]})
        everything = VectorMatching("many-to-many")
        assert found(set_operation("and", lhs, rhs, everything)) == {A: [1, None, None]}
        assert found(set_operation("unless", lhs, rhs, everything)) == {A: [None, 2, None]}
        assert found(set_operation("or", lhs, rhs, everything)) == {A: [1, 2, None], labels("n", x="a"): [None, None, 7]}

    def test_on_an_empty_list_everything_matches_everything(self) -> None:
        lhs, rhs = vector({A: [1], B: [2]}), vector({labels("other"): [0]})
        anything = VectorMatching("many-to-many", on=True)
        assert found(set_operation("and", lhs, rhs, anything)) == {A: [1], B: [2]}
        assert found(set_operation("unless", lhs, rhs, anything)) == {}


def test_nan_equals_nothing_and_differs_from_itself() -> None:
    one = vector({A: [NAN]})
    assert combine("==", one, one) == {}
    assert math.isnan(combine("!=", one, one)[A][0] or 0)
