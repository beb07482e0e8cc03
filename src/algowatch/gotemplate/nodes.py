"""The tree of a parsed template."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Literal:
    """A string, number, character or truth value."""

    value: str | int | float | bool
    source: str


@dataclass(frozen=True, slots=True)
class Nil:
    source: str = "nil"


@dataclass(frozen=True, slots=True)
class Dot:
    source: str = "."


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B` on the dot."""

    path: tuple[str, ...]

    @property
    def source(self) -> str:
        return "".join(f".{name}" for name in self.path)


@dataclass(frozen=True, slots=True)
class Variable:
    """`$x.A.B`; the name holds the dollar."""

    name: str
    path: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        return self.name + "".join(f".{name}" for name in self.path)


@dataclass(frozen=True, slots=True)
class Function:
    name: str

    @property
    def source(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Chain:
    """`(pipeline).A.B`, or fields of a literal."""

    operand: Operand
    path: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"{self.operand.source}" + "".join(f".{name}" for name in self.path)


@dataclass(frozen=True, slots=True)
class Command:
    """An operand with its arguments, separated by blanks."""

    args: tuple[Operand, ...]

    @property
    def source(self) -> str:
        return " ".join(arg.source for arg in self.args)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands joined by `|`; the last argument of each is the value of the one before.

    names: variables set by the value, one or (in range) two; assign: with `=` instead of `:=`.
    """

    commands: tuple[Command, ...]
    line: int
    names: tuple[str, ...] = ()
    assign: bool = False

    @property
    def source(self) -> str:
        return "(" + " | ".join(command.source for command in self.commands) + ")"


Operand = Literal | Nil | Dot | Field | Variable | Function | Chain | Pipe


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """A pipeline whose value is printed, unless it sets a variable."""

    pipe: Pipe


@dataclass(slots=True)
class Branch:
    """`if`, `range` or `with`; an `else if` is a Branch alone in `otherwise`."""

    keyword: str
    pipe: Pipe
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Jump:
    """`break` or `continue`."""

    keyword: str
    line: int


@dataclass(frozen=True, slots=True)
class Include:
    """`{{template "name" pipeline}}`, also what a `block` leaves behind."""

    name: str
    pipe: Pipe | None
    line: int


Node = Text | Action | Branch | Jump | Include
