"""A parsed template and its interpreter.

What a template may cost is bounded: steps, output and depth. One that goes too far ends with a TemplateError, like one that
does something wrong; its text names the line and the part.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from typing import Literal as OneOf

from algowatch.errors import TemplateError
from algowatch.gotemplate.builtin import BUILTINS, SPECIAL
from algowatch.gotemplate.formatting import sorted_items, to_text
from algowatch.gotemplate.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Function,
    Include,
    Jump,
    Literal,
    Nil,
    Node,
    Operand,
    Pipe,
    Text,
    Variable,
)
from algowatch.gotemplate.parser import Parser
from algowatch.gotemplate.values import NO_VALUE, StringMap, Struct, is_true, method_of, type_name

Functions = Mapping[str, Callable[..., Any]]
MissingKey = OneOf["default", "zero", "error"]


@dataclass(frozen=True, slots=True)
class Limits:
    """steps: nodes and operands evaluated; output: characters, also of any one value; depth: templates within templates."""

    steps: int = 100_000
    output: int = 1_000_000
    depth: int = 100


_DEFAULT_LIMITS = Limits()


class Template:
    """One template with those that it defines; may be rendered any number of times, from any thread."""

    def __init__(
        self,
        text: str,
        *,
        name: str = "template",
        functions: Functions | None = None,
        missing_key: MissingKey = "default",
        limits: Limits = _DEFAULT_LIMITS,
    ) -> None:
        """Parse a text.

        functions: may be called besides Go's own; their names are checked now. A function raises ValueError or
        TemplateError to fail.
        Raises: TemplateError with the line of the first fault.
        """
        self.name = name
        self._functions: dict[str, Callable[..., Any]] = {**BUILTINS, **(functions or {})}
        self._missing_key = missing_key
        self._limits = limits
        self._trees: dict[str, list[Node]] = {}
        self.add(text, name)

    def add(self, text: str, name: str) -> None:
        """Parse a further text into this template, so that its definitions can be included by name; later ones win."""
        trees: dict[str, list[Node]] = {}
        known = self._functions.keys() | SPECIAL
        body = Parser(text, name, known, trees).parse()
        if name not in trees or any(not isinstance(node, Text) or node.text.strip() for node in body):
            trees[name] = body
        self._trees.update(trees)

    def defined(self) -> list[str]:
        """The names that `{{template}}` may include."""
        return sorted(self._trees)

    def render(self, data: object, functions: Functions | None = None, *, only: str = "") -> str:
        """The text for some data.

        functions: in place of those given at first, for example bound to the moment of this rendering.
        only:      the defined template to run instead of the whole.
        Raises: TemplateError.
        """
        run = _Run(
            self._trees, {**self._functions, **functions} if functions else self._functions, self._missing_key, self._limits
        )
        name = only or self.name
        if name not in self._trees:
            raise TemplateError(f"template: {self.name}: no template {json.dumps(name)} is defined")
        try:
            run.template(name, data)
        except RecursionError:
            raise TemplateError(f"template: {name}: nested too deeply") from None
        return "".join(run.output)


class _Break(Exception):  # noqa: N818 - a jump, not an error
    pass


class _Continue(Exception):  # noqa: N818 - a jump, not an error
    pass


class _Run:
    """One rendering: the output so far, the variables in reach, what is left of the limits."""

    def __init__(self, trees: Mapping[str, list[Node]], functions: Functions, missing_key: MissingKey, limits: Limits) -> None:
        self.output: list[str] = []
        self._trees, self._functions, self._missing_key, self._limits = trees, functions, missing_key, limits
        self._variables: list[tuple[str, Any]] = []
        self._steps = limits.steps
        self._room = limits.output
        self._depth = 0
        self._name = ""
        self._line = 1

    def template(self, name: str, data: object) -> None:
        self._depth += 1
        if self._depth > self._limits.depth:
            raise self._error(f"exceeded maximum template depth ({self._limits.depth})", name)
        outer = (self._name, self._variables, self._line)
        self._name, self._variables = name, [("$", data)]
        self._nodes(self._trees[name], data)
        self._name, self._variables, self._line = outer
        self._depth -= 1

    # --- text and control

    def _nodes(self, nodes: Sequence[Node], dot: object) -> None:
        known = len(self._variables)
        try:
            for node in nodes:
                self._step()
                self._node(node, dot)
        finally:
            del self._variables[known:]

    def _node(self, node: Node, dot: object) -> None:
        if isinstance(node, Text):
            self._write(node.text)
        elif isinstance(node, Action):
            value = self._pipe(node.pipe, dot)
            if not node.pipe.names:
                self._write("<no value>" if value is None else to_text(value))
        elif isinstance(node, Branch):
            known = len(self._variables)
            try:
                self._range(node, dot) if node.keyword == "range" else self._if(node, dot)
            finally:
                del self._variables[known:]
        elif isinstance(node, Jump):
            raise _Break if node.keyword == "break" else _Continue
        else:
            self._include(node, dot)

    def _if(self, node: Branch, dot: object) -> None:
        value = self._pipe(node.pipe, dot)
        if is_true(value):
            self._nodes(node.body, value if node.keyword == "with" else dot)
        else:
            self._nodes(node.otherwise, dot)

    def _range(self, node: Branch, dot: object) -> None:
        value = self._pipe(node.pipe, dot, declare=False)
        known = len(self._variables)
        names = node.pipe.names
        empty = True
        for key, item in self._entries(value, node.pipe):
            empty = False
            self._step()
            for name, part in zip(names, (item,) if len(names) == 1 else (key, item), strict=False):
                self._set(name, part, node.pipe.assign)
            try:
                self._nodes(node.body, item)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self._variables[known:]
        if empty:
            self._nodes(node.otherwise, dot)

    def _entries(self, value: object, pipe: Pipe) -> Iterable[tuple[object, object]]:
        if isinstance(value, dict):
            return sorted_items(value)
        if isinstance(value, list | tuple):
            return enumerate(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(value))
        if value is None or value is NO_VALUE:
            return ()
        raise self._error(f"range can't iterate over {to_text(value)[:100]}", pipe.source)

    def _include(self, node: Include, dot: object) -> None:
        self._line = node.line
        if node.name not in self._trees:
            raise self._error(f"template {json.dumps(node.name)} not defined", node.name)
        self.template(node.name, self._pipe(node.pipe, dot) if node.pipe else None)

    # --- pipelines

    def _pipe(self, pipe: Pipe, dot: object, declare: bool = True) -> Any:
        self._line = pipe.line
        value: tuple[Any, ...] = ()
        for command in pipe.commands:
            value = (self._command(command, dot, value),)
        if declare:
            for name in pipe.names:
                self._set(name, value[0], pipe.assign)
        return value[0]

    def _set(self, name: str, value: object, assign: bool) -> None:
        if assign:
            for at in range(len(self._variables) - 1, -1, -1):
                if self._variables[at][0] == name:
                    self._variables[at] = (name, value)
                    return
        self._variables.append((name, value))

    def _command(self, command: Command, dot: object, final: tuple[Any, ...]) -> Any:
        """A command's value; final: the value that the pipe brings, as last argument."""
        first, args = command.args[0], command.args[1:]
        self._step()
        if isinstance(first, Function):
            return self._function(first.name, args, dot, final)
        if isinstance(first, Field):
            return self._fields(dot, first, first.path, dot, args, final)
        if isinstance(first, Variable):
            value = self._variable(first.name)
            if first.path:
                return self._fields(value, first, first.path, dot, args, final)
        elif isinstance(first, Chain):
            value = self._operand(first.operand, dot)
            return self._fields(value, first, first.path, dot, args, final)
        elif isinstance(first, Nil):
            raise self._error("nil is not a command", "nil")
        else:
            value = self._operand(first, dot)
        if args or final:
            raise self._error(f"can't give argument to non-function {first.source}", first.source)
        return value

    def _operand(self, operand: Operand, dot: object) -> Any:
        self._step()
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Dot):
            return dot
        if isinstance(operand, Nil):
            return None
        if isinstance(operand, Pipe):
            return self._pipe(operand, dot)
        return self._command(Command((operand,)), dot, ())

    def _variable(self, name: str) -> Any:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise self._error(f"undefined variable: {name}", name)

    # --- fields, methods, functions

    def _fields(
        self, value: Any, node: Operand, path: Sequence[str], dot: object, args: Sequence[Operand], final: tuple[Any, ...]
    ) -> Any:
        for name in path[:-1]:
            value = self._field(value, name, node, (), ())
        given = tuple(self._argument(arg, dot) for arg in args)
        return self._field(value, path[-1], node, given, final)

    def _field(self, value: Any, name: str, node: Operand, args: tuple[Any, ...], final: tuple[Any, ...]) -> Any:
        if value is NO_VALUE:
            if self._missing_key == "error":
                raise self._error(f"nil data; no entry for key {json.dumps(name)}", node.source)
            return NO_VALUE
        if value is None:
            raise self._error(f"nil pointer evaluating interface {{}}.{name}", node.source)
        method = method_of(value, name)
        if method is not None:
            return self._call(name, method, (*args, *final))
        if isinstance(value, dict):
            if args or final:
                raise self._error(f"{name} is not a method but has arguments", node.source)
            return value[name] if name in value else self._missing(value, name, node)
        if isinstance(value, Struct) and name in value.fields:
            if args or final:
                raise self._error(f"{name} has arguments but cannot be invoked as function", node.source)
            return value.fields[name]
        raise self._error(f"can't evaluate field {name} in type {type_name(value)}", node.source)

    def _missing(self, mapping: Mapping[Any, Any], name: str, node: Operand) -> Any:
        if self._missing_key == "error":
            raise self._error(f"map has no entry for key {json.dumps(name)}", node.source)
        if self._missing_key == "zero":
            return "" if isinstance(mapping, StringMap) else None
        return NO_VALUE

    def _argument(self, operand: Operand, dot: object) -> Any:
        value = self._operand(operand, dot)
        return None if value is NO_VALUE else value

    def _function(self, name: str, args: Sequence[Operand], dot: object, final: tuple[Any, ...]) -> Any:
        if name in ("and", "or"):
            return self._choose(name, args, dot, final)
        given = (*(self._argument(arg, dot) for arg in args), *(None if value is NO_VALUE else value for value in final))
        if name != "call":
            return self._call(name, self._functions[name], given)
        if not given or not callable(given[0]):
            raise self._error("error calling call: non-function of type " + type_name(given[0] if given else None), name)
        return self._call(name, given[0], given[1:])

    def _choose(self, name: str, args: Sequence[Operand], dot: object, final: tuple[Any, ...]) -> Any:
        """`and` and `or`: the first argument that decides, or the last one; those after it are not evaluated."""
        if not args and not final:
            raise self._error(f"wrong number of args for {name}: want at least 1 got 0", name)
        value: Any = None
        for arg in args:
            value = self._argument(arg, dot)
            if is_true(value) == (name == "or"):
                return value
        return final[0] if final else value

    def _call(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self._step()
        wrong = _wrong_count(function, len(args))
        if wrong:
            raise self._error(f"wrong number of args for {name}: {wrong} got {len(args)}", name)
        try:
            value = function(*args)
        except (TemplateError, ValueError, TypeError, OverflowError, ArithmeticError) as error:
            raise self._error(f"error calling {name}: {error}", name) from None
        if isinstance(value, str) and len(value) > self._limits.output:
            raise self._error(f"a value of more than {self._limits.output} characters", name)
        return value

    # --- bounds and errors

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise self._error(f"took more than {self._limits.steps} steps", "range")

    def _write(self, text: str) -> None:
        self._room -= len(text)
        if self._room < 0:
            raise self._error(f"gave more than {self._limits.output} characters", "output")
        self.output.append(text)

    def _error(self, problem: str, at: str) -> TemplateError:
        name = self._name or at
        return TemplateError(f"template: {name}:{self._line}: executing {json.dumps(name)} at <{at[:60]}>: {problem}")


@lru_cache(maxsize=512)
def _count(function: Callable[..., Any]) -> tuple[int, int | None]:
    """The least and greatest number of positional arguments; None for no end."""
    least, most = 0, 0
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return least, None
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
    return least, most


def _wrong_count(function: Callable[..., Any], given: int) -> str:
    least, most = _count(function)
    if given < least and most is None:
        return f"want at least {least}"
    return f"want {least}" if given < least or (most is not None and given > most) else ""
