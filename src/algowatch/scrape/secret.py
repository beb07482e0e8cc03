"""Texts that must not show up in messages, logs, reprs or the configuration that the API shows."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer


class Secret:
    """A password or token; only `reveal()` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("a secret must be text; put it in quotes")
    return Secret(value)


SecretText = Annotated[Secret, BeforeValidator(_secret), PlainSerializer(str, return_type=str)]
"""A configuration field that holds a secret."""
