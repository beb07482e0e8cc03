"""Tokens to trees: one for the template itself, one for each `define` and `block`."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from algowatch.errors import TemplateError
from algowatch.gotemplate.lexer import Token, tokens
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

_MAX_DEPTH = 50
_BLOCK_ENDS = ("end", "else")
_KEYWORDS = frozenset({"if", "range", "with", "define", "block", "template", "break", "continue", *_BLOCK_ENDS})
_INT64 = 1 << 63
_ESCAPE = re.compile(r"\\(?:([abfnrtv\\'\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))")
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}


@dataclass(slots=True)
class Parser:
    """Parses one text. `trees` receives each defined template; functions: the names that may be called.

    Raises (from `parse`): TemplateError with the line of the first fault.
    """

    source: str
    name: str
    functions: Container[str]
    trees: dict[str, list[Node]] = field(default_factory=dict)
    _tokens: list[Token] = field(default_factory=list)
    _at: int = 0
    _variables: list[str] = field(default_factory=lambda: ["$"])
    _ranges: int = 0
    _depth: int = 0

    def parse(self) -> list[Node]:
        self._tokens = list(tokens(self.source, self.name))
        nodes, end = self._nodes(top=True)
        if end:
            raise self._error(f"unexpected {{{{{end}}}}}")
        return nodes

    # --- the token stream

    def _peek(self) -> Token:
        if self._at < len(self._tokens):
            return self._tokens[self._at]
        return Token("end of text", "", self._tokens[-1].line if self._tokens else 1)

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _error(self, problem: str, line: int | None = None) -> TemplateError:
        if line is None:
            line = self._tokens[min(self._at, len(self._tokens)) - 1].line if self._tokens else 1
        return TemplateError(f"template: {self.name}:{line}: {problem}")

    def _expect_close(self, context: str) -> None:
        token = self._next()
        if token.kind != "close":
            raise self._error(f"unexpected {_shown(token)} in {context}", token.line)

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"nested more than {_MAX_DEPTH} levels deep")
        try:
            yield
        finally:
            self._depth -= 1

    # --- text and actions

    def _nodes(self, top: bool = False) -> tuple[list[Node], str]:
        """Nodes up to `end`, `else` or the end of the text; the second value says which ("" for the end of the text)."""
        nodes: list[Node] = []
        with self._deeper():
            while self._at < len(self._tokens):
                token = self._next()
                if token.kind == "text":
                    nodes.append(Text(token.text))
                    continue
                word = self._peek()
                if word.kind == "word" and word.text in _BLOCK_ENDS:
                    self._next()
                    return nodes, word.text
                nodes += self._action(top)
        return nodes, ""

    def _action(self, top: bool) -> list[Node]:
        token = self._peek()
        keyword = token.text if token.kind == "word" else ""
        if keyword not in _KEYWORDS:
            pipe = self._pipe("command")
            self._expect_close("command")
            return [Action(pipe)]
        self._next()
        if keyword in ("if", "range", "with"):
            return [self._branch(keyword)]
        if keyword in ("break", "continue"):
            if not self._ranges:
                raise self._error(f"{{{{{keyword}}}}} outside {{{{range}}}}", token.line)
            self._expect_close(keyword)
            return [Jump(keyword, token.line)]
        if keyword == "template":
            return [self._include(token.line)]
        if keyword == "block":
            return [self._block(token.line)]
        if not top:
            raise self._error("unexpected {{define}}; it stands outside all blocks", token.line)
        name = self._quoted("define")
        self._expect_close("define clause")
        self._define(name, token.line)
        return []

    def _branch(self, keyword: str) -> Branch:
        known, line = len(self._variables), self._peek().line
        branch = Branch(keyword, self._pipe(keyword, two=keyword == "range"))
        self._expect_close(keyword)
        inner = keyword == "range"
        self._ranges += inner
        branch.body, end = self._nodes()
        self._ranges -= inner
        if end == "end":
            self._expect_close("end")
        elif end == "else":
            branch.otherwise, end = self._else(keyword)
        if end != "end":
            raise self._error(f"unexpected end of text in {{{{{keyword}}}}} that begins here; close it with {{{{end}}}}", line)
        del self._variables[known:]
        return branch

    def _else(self, keyword: str) -> tuple[list[Node], str]:
        token = self._peek()
        if token.kind == "word" and token.text in ("if", "with") and keyword == token.text:
            self._next()
            with self._deeper():
                return [self._branch(keyword)], "end"
        self._expect_close("else")
        nodes, end = self._nodes()
        if end == "else":
            raise self._error("expected end; found {{else}}")
        if end == "end":
            self._expect_close("end")
        return nodes, end

    def _include(self, line: int) -> Include:
        name = self._quoted("template clause")
        pipe = None if self._peek().kind == "close" else self._pipe("template clause")
        self._expect_close("template clause")
        return Include(name, pipe, line)

    def _block(self, line: int) -> Include:
        name = self._quoted("block clause")
        pipe = self._pipe("block clause")
        self._expect_close("block clause")
        self._define(name, line)
        return Include(name, pipe, line)

    def _define(self, name: str, line: int) -> None:
        variables, ranges = self._variables, self._ranges
        self._variables, self._ranges = ["$"], 0
        nodes, end = self._nodes()
        self._variables, self._ranges = variables, ranges
        if end != "end":
            raise self._error(
                f"unexpected end of text in the definition of {json.dumps(name)}; close it with {{{{end}}}}", line
            )
        self._expect_close("end")
        self.trees[name] = nodes

    def _quoted(self, context: str) -> str:
        token = self._next()
        if token.kind not in ("string", "raw"):
            raise self._error(f"unexpected {_shown(token)} in {context}; a name in quotes belongs there", token.line)
        return self._unquote(token)

    # --- pipelines

    def _pipe(self, context: str, two: bool = False) -> Pipe:
        line = self._peek().line
        with self._deeper():
            names, assign = self._declaration(two)
            commands = [self._command(context)]
            while self._peek().text == "|" and self._peek().kind == "symbol":
                self._next()
                commands.append(self._command(context))
        for command in commands[1:]:
            if isinstance(command.args[0], Literal | Nil | Dot):
                raise self._error(f"non executable command in pipeline stage: {command.source}", line)
        if not assign:
            self._variables += names
        return Pipe(tuple(commands), line, tuple(names), assign)

    def _declaration(self, two: bool) -> tuple[list[str], bool]:
        """The variables in front of `:=` or `=`; nothing is taken where there are none."""
        start, names = self._at, []
        while self._peek().kind == "variable":
            names.append(self._next().text)
            sign = self._next()
            if sign.kind == "symbol" and sign.text == "," and two and len(names) < 2:
                continue
            if sign.text in (":=", "="):
                if sign.text == "=":
                    self._known(names, sign.line)
                return names, sign.text == "="
            break
        self._at = start
        return [], False

    def _known(self, names: list[str], line: int) -> None:
        for name in names:
            if name not in self._variables:
                raise self._error(f"undefined variable {json.dumps(name)}", line)

    def _command(self, context: str) -> Command:
        args: list[Operand] = []
        while True:
            token = self._peek()
            if token.kind in ("close", "end of text") or (token.kind == "symbol" and token.text in ("|", ")")):
                break
            if args and not token.spaced and token.kind != "symbol":
                raise self._error(f"unexpected {_shown(token)} in operand; put a blank in front of it", token.line)
            args.append(self._operand(context))
        if not args:
            problem = f"missing value for {context}" if context != "command" else "missing value for command"
            raise self._error(problem, self._peek().line)
        return Command(tuple(args))

    def _operand(self, context: str) -> Operand:
        operand = self._term(context)
        path: list[str] = []
        while self._peek().kind == "field" and not self._peek().spaced:
            path.append(self._next().text[1:])
        if not path:
            return operand
        if isinstance(operand, Field):
            return Field((*operand.path, *path))
        if isinstance(operand, Variable):
            return Variable(operand.name, (*operand.path, *path))
        if isinstance(operand, Literal | Nil | Dot):
            raise self._error(f"unexpected . after term {json.dumps(operand.source)}")
        return Chain(operand, tuple(path))

    def _term(self, context: str) -> Operand:
        token = self._next()
        if token.kind == "field":
            return Field((token.text[1:],))
        if token.kind == "variable":
            self._known([token.text], token.line)
            return Variable(token.text)
        if token.kind in ("string", "raw"):
            return Literal(self._unquote(token), token.text)
        if token.kind == "char":
            return Literal(self._char(token), token.text)
        if token.kind == "number":
            return Literal(self._number(token), token.text)
        if token.kind == "word":
            return self._word(token)
        if token.text == ".":
            return Dot()
        if token.text == "(":
            pipe = self._pipe("parenthesized pipeline")
            closing = self._next()
            if closing.text != ")":
                raise self._error("unclosed left paren", closing.line)
            return pipe
        raise self._error(f"unexpected {_shown(token)} in {context}", token.line)

    def _word(self, token: Token) -> Operand:
        if token.text in ("true", "false"):
            return Literal(token.text == "true", token.text)
        if token.text == "nil":
            return Nil()
        if token.text not in self.functions:
            raise self._error(f"function {json.dumps(token.text)} not defined", token.line)
        return Function(token.text)

    # --- literals

    def _number(self, token: Token) -> int | float:
        text = token.text.replace("_", "")
        try:
            digits = text.lstrip("+-")
            octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
            value: int | float = int(text, 8 if octal else 0)
        except ValueError:
            try:
                value = float(text)
            except ValueError:
                raise self._error(f"bad number syntax: {json.dumps(text)}", token.line) from None
        if isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise self._error(f"integer overflow: {text}", token.line)
        return value

    def _char(self, token: Token) -> int:
        text = self._unescape(token.text[1:-1], token)
        if len(text) != 1:
            raise self._error(f"malformed character constant: {token.text}", token.line)
        return ord(text)

    def _unquote(self, token: Token) -> str:
        return token.text[1:-1] if token.kind == "raw" else self._unescape(token.text[1:-1], token)

    def _unescape(self, text: str, token: Token) -> str:
        def replace(match: re.Match[str]) -> str:
            simple, hex2, hex4, hex8, octal, other = match.groups()
            if simple is not None:
                return _SIMPLE[simple]
            if other is not None:
                raise self._error(f"invalid escape \\{other} in {token.text}", token.line)
            code = int(octal, 8) if octal is not None else int(hex2 or hex4 or hex8, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self._error(f"invalid code point in {token.text}", token.line)
            return chr(code)

        return _ESCAPE.sub(replace, text)


def _shown(token: Token) -> str:
    return f"<{token.text[:20]}>" if token.text else token.kind
