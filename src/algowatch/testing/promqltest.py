"""Run scripts in Prometheus's `promqltest` language: load series, evaluate expressions, compare with what is expected.

    load 5m
        orders{side="BUY"} 0+10x5 _ stale
    eval instant at 10m rate(orders[10m])
        expect no_warn
        {side="BUY"} 0.0333333

Source: Prometheus, `promql/promqltest`, README.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from algowatch.errors import AlgowatchError, QueryError
from algowatch.model.durations import parse_duration
from algowatch.model.labels import Labels
from algowatch.model.protocols import QueryResult, Select
from algowatch.testing.promqltest_compare import Expected, compare_matrix, compare_scalar, compare_vector
from algowatch.testing.series_notation import LoadedSeries, MemorySeries, parse_labels, parse_points


class ScriptError(AlgowatchError):
    """A script is not in the language; says where."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}")


class SkipCase(Exception):  # noqa: N818 - not a fault: it tells the test runner to skip
    """The case needs something that is out of scope; the text says what."""


NATIVE_HISTOGRAMS = "uses native histograms"


class Engine(Protocol):
    def instant(self, expr_text: str, at_ms: int) -> QueryResult: ...
    def range(self, expr_text: str, start_ms: int, end_ms: int, step_ms: int) -> QueryResult: ...


MakeEngine = Callable[[Select], Engine]
Subject = Literal["ordered", "fail", "warn", "info", "no_warn", "no_info"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """One `expect` line. how: "msg" compares the whole text, "regex" searches, "" accepts every text."""

    subject: Subject
    how: Literal["", "msg", "regex"] = ""
    text: str = ""

    def accepts(self, text: str) -> bool:
        if self.how == "msg":
            return text == self.text
        return self.how == "" or re.search(self.text, text) is not None


@dataclass(frozen=True, slots=True)
class Steps:
    """Moments in milliseconds, both ends inclusive."""

    start_ms: int
    end_ms: int
    step_ms: int


@dataclass(slots=True)
class Case:
    """One `eval` of a script. steps: None for an instant query."""

    path: str
    line: int
    expression: str
    at_ms: int
    steps: Steps | None
    series: MemorySeries
    expected: list[Expected] = field(default_factory=list)
    expected_number: float | None = None
    expected_text: str | None = None
    expected_range: Steps | None = None
    expectations: list[Expectation] = field(default_factory=list)
    uses_native_histograms: bool = False

    @property
    def id(self) -> str:
        return f"{Path(self.path).name}:{self.line}"

    def run(self, make_engine: MakeEngine) -> None:
        """Evaluate and compare.

        Raises: AssertionError with what differs; SkipCase where native histograms are needed.
        """
        if self.uses_native_histograms:
            raise SkipCase(NATIVE_HISTOGRAMS)
        try:
            self._run(make_engine(self.series.select))
        except AssertionError as error:
            raise AssertionError(f"{self.path}:{self.line}: {self.expression}\n{error}") from None

    def _run(self, engine: Engine) -> None:
        self.series.forget_reads()
        result, failure = self._ask(engine)
        if self.series.histograms_read():
            raise SkipCase(NATIVE_HISTOGRAMS)
        if failure is not None:
            return self._check_failure(failure)
        assert result is not None
        assert not self._wanted("fail"), f"expected the query to fail, but it gave {_shown(result)}"
        self._check_annotations("warn", result.warnings)
        self._check_annotations("info", result.infos)
        self._compare(result)
        if self._comparable_as_range(result):
            self._check_as_range(engine, result)
        return None

    def _ask(self, engine: Engine) -> tuple[QueryResult | None, QueryError | None]:
        try:
            if self.steps is None:
                return engine.instant(self.expression, self.at_ms), None
            return engine.range(self.expression, self.steps.start_ms, self.steps.end_ms, self.steps.step_ms), None
        except QueryError as error:
            return None, error

    def _wanted(self, subject: Subject) -> list[Expectation]:
        return [found for found in self.expectations if found.subject == subject]

    def _check_failure(self, failure: QueryError) -> None:
        wanted = self._wanted("fail")
        assert wanted, f"the query failed: {failure}"
        for expectation in wanted:
            assert expectation.accepts(str(failure)), f"expected failure: {expectation.text}\nactual failure:   {failure}"

    def _check_annotations(self, kind: Literal["warn", "info"], texts: object) -> None:
        found = [str(text) for text in texts] if isinstance(texts, (list, tuple)) else []
        unwanted: Subject = "no_warn" if kind == "warn" else "no_info"
        if self._wanted(unwanted):
            assert not found, f"expected {unwanted}, got {found}"
        wanted = self._wanted(kind)
        for expectation in wanted:
            accepted = any(expectation.accepts(text) for text in found)
            assert accepted, f"expected {kind} annotation {expectation.text or '(any)'!r}, got {found}"
        for text in found if wanted else ():
            assert any(expectation.accepts(text) for expectation in wanted), f"unexpected {kind} annotation {text!r}"

    def _compare(self, result: QueryResult) -> None:
        if self.expected_text is not None:
            assert result.type == "string", f"expected a string, got {_shown(result)}"
            assert result.text == self.expected_text, f"expected {self.expected_text!r}, got {result.text!r}"
        elif self.expected_range is not None:
            assert result.type == "matrix", f"expected a range vector, got a {result.type}"
            compare_matrix(self.expected, _raw_points(result), self.expected_range.start_ms, self.expected_range.step_ms)
        elif self.steps is not None:
            compare_matrix(self._expected_series(), _points(result), self.steps.start_ms, self.steps.step_ms)
        elif result.type == "scalar":
            assert self.expected_number is not None, f"expected {len(self.expected)} series, got {_shown(result)}"
            compare_scalar(self.expected_number, float(result.values[0, 0]))
        else:
            assert result.type == "vector", f"expected an instant vector, got a {result.type}"
            compare_vector(self._expected_series(), result.samples(), ordered=bool(self._wanted("ordered")))

    def _expected_series(self) -> list[Expected]:
        if self.expected_number is None:
            return self.expected
        return [Expected(Labels.of(), [self.expected_number])]

    def _comparable_as_range(self, result: QueryResult) -> bool:
        """Whether a range query must give the same at this moment: not where the expression asks for the query's span."""
        spans = re.search(r"\b(?:start|end|step|range)\(\)", self.expression, re.IGNORECASE)
        plain = self.steps is None and self.expected_range is None and result.type in ("vector", "scalar")
        return plain and spans is None and not self._wanted("ordered")

    def _check_as_range(self, engine: Engine, instant: QueryResult) -> None:
        minute = 60_000
        result = engine.range(self.expression, self.at_ms - minute, self.at_ms + minute, minute)
        if self.series.histograms_read():
            raise SkipCase(NATIVE_HISTOGRAMS)
        here = [(labels, dict(points)[self.at_ms]) for labels, points in _points(result) if self.at_ms in dict(points)]
        try:
            if instant.type == "scalar":
                assert self.expected_number is not None
                assert len(here) == 1, f"expected one value, got {here}"
                compare_scalar(self.expected_number, here[0][1])
            else:
                compare_vector(self._expected_series(), here, ordered=False)
        except AssertionError as error:
            raise AssertionError(f"as the middle of a range query: {error}") from None


def _points(result: QueryResult) -> list[tuple[Labels, list[tuple[int, float]]]]:
    """The samples of a range query, series by series; those without any are left out."""
    found = []
    for row, labels in enumerate(result.labels):
        columns = result.present[row].nonzero()[0].tolist()
        if columns:
            found.append((labels, [(int(result.steps_ms[at]), float(result.values[row, at])) for at in columns]))
    return found


def _raw_points(result: QueryResult) -> list[tuple[Labels, list[tuple[int, float]]]]:
    """The samples of a range vector, series by series."""
    found = []
    for matrix in result.matrices:
        for row, labels in enumerate(matrix.labels):
            present = range(len(matrix.timestamps_ms)) if matrix.present is None else matrix.present[row].nonzero()[0]
            points = [(int(matrix.timestamps_ms[at]), float(matrix.values[row, at])) for at in present]
            if points:
                found.append((labels, points))
    return found


def _shown(result: QueryResult) -> str:
    if result.type == "string":
        return f"the string {result.text!r}"
    rows = [f"{labels} {points}" for labels, points in (_raw_points(result) or _points(result))[:10]]
    return f"a {result.type}: " + "; ".join(rows)


# Reading scripts

_LOAD = re.compile(r"load(_with_nhcb)?\s+(\S+)\Z")
_INSTANT = re.compile(r"eval(?:_(fail|warn|info|ordered))?\s+instant\s+at\s+(\S+)\s+(.+)\Z")
_RANGE = re.compile(r"eval(?:_(fail|warn|info))?\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)\Z")
_EXPECT = re.compile(r"expect\s+(ordered|fail|warn|no_warn|info|no_info)(?:\s+(msg|regex):\s*(.*))?\Z")
_EXPECT_RANGE = re.compile(r"expect\s+range\s+vector\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\Z")
_EXPECT_STRING = re.compile(r"expect\s+string\s+(.*)\Z")
_EXPECTED_FAIL = re.compile(r"expected_fail_(message|regexp)\s+(.*)\Z")
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|0x[\da-f]+|inf|nan)\Z", re.IGNORECASE)

Line = tuple[int, str]


def read_script(text: str, path: str) -> Iterator[Case]:
    """The cases of one script, in its order; each carries the series loaded before it.

    Raises: ScriptError.
    """
    loads: list[LoadedSeries] = []
    series = MemorySeries(())
    for block in _blocks(text):
        number, head = block[0]
        try:
            if head == "clear":
                loads, series = [], MemorySeries(())
            elif (load := _LOAD.match(head)) is not None:
                step_ms = parse_duration(load[2])
                for _, line in block[1:]:
                    loads.append(LoadedSeries.read(line, step_ms, with_nhcb=load[1] is not None))
                series = MemorySeries(tuple(loads))
            else:
                yield _case(block, path, series)
        except ValueError as error:
            raise ScriptError(path, number, str(error)) from None


def read_folder(folder: Path) -> Iterator[Case]:
    """The cases of every `*.test` file of a folder, by name."""
    for path in sorted(folder.glob("*.test")):
        yield from read_script(path.read_text(encoding="utf-8"), str(path))


def _blocks(text: str) -> Iterator[list[Line]]:
    """A command with its lines; a blank line or a comment ends it, and so does the next command."""
    block: list[Line] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            line = ""
        starts = re.match(r"(?:load|eval|clear)(?:_\w+)?(?:\s|\Z)", line) is not None
        if block and (starts or not line):
            yield block
            block = []
        if line:
            block.append((number, line))
    if block:
        yield block


def _case(block: list[Line], path: str, series: MemorySeries) -> Case:
    number, head = block[0]
    if (found := _INSTANT.match(head)) is not None:
        case = Case(path, number, found[3], _moment(found[2]), None, series)
    elif (found := _RANGE.match(head)) is not None:
        steps = Steps(_moment(found[2]), _moment(found[3]), _moment(found[4]))
        case = Case(path, number, found[5], steps.start_ms, steps, series)
    else:
        raise ValueError(f"not a command: {head!r}; known are load, clear, eval instant and eval range")
    if found[1]:
        case.expectations.append(Expectation(_subject(found[1])))
    for _, line in block[1:]:
        _expectation(case, line)
    return case


def _moment(text: str) -> int:
    return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text)


def _subject(word: str) -> Subject:
    subjects: dict[str, Subject] = {
        "ordered": "ordered", "fail": "fail", "warn": "warn", "info": "info", "no_warn": "no_warn", "no_info": "no_info",
    }  # fmt: skip
    return subjects[word]


def _expectation(case: Case, line: str) -> None:
    """Add what one line below an `eval` says."""
    if (found := _EXPECT.match(line)) is not None:
        how: Literal["", "msg", "regex"] = "msg" if found[2] == "msg" else "regex" if found[2] else ""
        case.expectations.append(Expectation(_subject(found[1]), how, (found[3] or "").strip()))
    elif (found := _EXPECT_RANGE.match(line)) is not None:
        case.expected_range = Steps(_moment(found[1]), _moment(found[2]), _moment(found[3]))
    elif (found := _EXPECT_STRING.match(line)) is not None:
        case.expected_text = _unquoted(found[1])
    elif (found := _EXPECTED_FAIL.match(line)) is not None:
        case.expectations = [kept for kept in case.expectations if kept.subject != "fail"]
        case.expectations.append(Expectation("fail", "msg" if found[1] == "message" else "regex", found[2]))
    elif _NUMBER.match(line):
        case.expected_number = float(int(line, 0)) if "x" in line.lower() else float(line)
    elif "{{" in line:
        case.uses_native_histograms = True
    else:
        labels, rest = parse_labels(line)
        case.expected.append(Expected(labels, parse_points(rest)))


def _unquoted(text: str) -> str:
    return text[1:-1] if text.startswith("`") else str(ast.literal_eval(text))
