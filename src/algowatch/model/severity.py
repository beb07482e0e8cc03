"""Severities: one scale, two spellings."""

from __future__ import annotations

SEVERITIES = ("info", "warning", "error", "critical")

_ALIASES = {
    "info": "info",
    "warning": "warning",
    "medium": "warning",
    "p2": "warning",
    "error": "error",
    "high": "error",
    "p1": "error",
    "critical": "critical",
    "p0": "critical",
}


def parse_severity(text: str) -> str:
    """One of SEVERITIES from any spelling: P0 is critical, P1 (high) error, P2 (medium) warning.

    Raises: ValueError for any other word.
    """
    try:
        return _ALIASES[text.lower()]
    except KeyError:
        raise ValueError(f"unknown severity {text!r}; known are {', '.join(SEVERITIES)} and P0, P1, P2") from None


def severity_rank(severity: str) -> int:
    """0 for info to 3 for critical; an unknown word counts as a warning, so that it is not overlooked."""
    try:
        return SEVERITIES.index(parse_severity(severity))
    except ValueError:
        return 1
