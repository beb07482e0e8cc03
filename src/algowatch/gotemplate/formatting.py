"""Go's `fmt`: how values print, and Printf.

Source: documentation of Go's packages fmt and strconv.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

from algowatch.errors import TemplateError
from algowatch.gotemplate.values import NO_VALUE, Struct, type_name

_MAX_WIDTH = 10_000
_VERB = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d+)?)?(.)?", re.DOTALL)
_HAS_POINT = re.compile(r"%[-+# 0]*(?:\*|\d+)?\.")
_QUOTE = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def format_float(value: float) -> str:
    """As %v: the shortest digits that read back the same, with an exponent from 1e+06 and below 1e-04.

    >>> format_float(0.5), format_float(1_000_000.0), format_float(100000.0), format_float(1e-5)
    ('0.5', '1e+06', '100000', '1e-05')
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    sign, digits, point = _digits(value)
    exponent = point - 1
    if exponent < -4 or exponent >= 6:
        mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
        return f"{sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if point <= 0:
        return f"{sign}0." + "0" * -point + digits
    if len(digits) <= point:
        return sign + digits + "0" * (point - len(digits))
    return f"{sign}{digits[:point]}.{digits[point:]}"


def _digits(value: float) -> tuple[str, str, int]:
    """Sign, shortest significant digits, and where the point stands after the first of them."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    point = len(text) + int(exponent)
    text = text.rstrip("0")
    return ("-" if sign else "", text, point) if text else ("-" if sign else "", "0", 1)


def quote(text: str) -> str:
    """As %q and strconv.Quote."""
    return '"' + "".join(_quoted(char) for char in text) + '"'


def _quoted(char: str) -> str:
    if char in _QUOTE:
        return _QUOTE[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def to_text(value: object) -> str:
    """As %v prints a value."""
    if isinstance(value, str):
        return str(value)
    if value is None:
        return "<nil>"
    if value is NO_VALUE:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format_float(value)
    if isinstance(value, list | tuple):
        return "[" + " ".join(map(to_text, value)) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{to_text(key)}:{to_text(item)}" for key, item in sorted_items(value)) + "]"
    if type(value) is Struct:
        return "{" + " ".join(map(to_text, value.fields.values())) + "}"
    return str(value)


def sorted_items(mapping: dict[object, object]) -> list[tuple[object, object]]:
    """The entries of a map in the order of their keys: numbers before text, as far as they can be compared."""
    return sorted(mapping.items(), key=lambda item: (isinstance(item[0], str), item[0]))


def sprint(values: Sequence[object]) -> str:
    """As fmt.Sprint: a blank between two neighbours of which neither is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(to_text(value))
    return "".join(parts)


def sprintf(form: str, args: Sequence[object]) -> str:
    """As fmt.Sprintf, wrong verbs and numbers of arguments included: those print as `%!d(string=x)` and the like.

    Raises: TemplateError for a width or precision above 10,000.
    """
    parts: list[str] = []
    start = taken = 0
    for match in _VERB.finditer(form):
        parts.append(form[start : match.start()])
        start = match.end()
        text, taken = _verb(match, args, taken)
        parts.append(text)
    parts.append(form[start:])
    if taken < len(args):
        extra = ", ".join("<nil>" if arg is None else f"{type_name(arg)}={to_text(arg)}" for arg in args[taken:])
        parts.append(f"%!(EXTRA {extra})")
    return "".join(parts)


def _verb(match: re.Match[str], args: Sequence[object], taken: int) -> tuple[str, int]:
    flags, width_text, precision_text, verb = match.groups()
    if verb is None:
        return "%!(NOVERB)", taken
    numbers: list[int | None] = []
    for text in (width_text, precision_text):
        if text == "*":
            if taken >= len(args) or not isinstance(args[taken], int):
                return "%!(BADWIDTH)" if not numbers else "%!(BADPREC)", min(taken + 1, len(args))
            numbers.append(int(str(args[taken])))
            taken += 1
        else:
            numbers.append(int(text) if text else None)
    width, precision = numbers
    if precision is None and _HAS_POINT.match(match.group()):
        precision = 0
    if width is not None and width < 0:
        flags, width = flags + "-", -width
    if max(width or 0, precision or 0) > _MAX_WIDTH:
        raise TemplateError(f"printf: width or precision of more than {_MAX_WIDTH}: {match.group()}")
    if verb == "%":
        return "%", taken
    if taken >= len(args):
        return f"%!{verb}(MISSING)", taken
    return _padded(_converted(verb, flags, precision, args[taken]), flags, width, args[taken]), taken + 1


def _padded(text: str, flags: str, width: int | None, value: object) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if "0" in flags and number and not text.endswith(("Inf", "NaN")) and not text.startswith("%!"):
        sign = text[0] if text[0] in "+-" else ""
        return sign + text[len(sign) :].rjust(width - len(sign), "0")
    return text.rjust(width, "0") if "0" in flags and isinstance(value, str) else text.rjust(width)


def _converted(verb: str, flags: str, precision: int | None, value: object) -> str:
    if verb == "T":
        return type_name(value)
    if isinstance(value, bool):
        return to_text(value) if verb in "tv" else _wrong(verb, value)
    if isinstance(value, int):
        return _integer(verb, flags, value)
    if isinstance(value, float):
        return _float(verb, flags, precision, value)
    if isinstance(value, list | tuple) and verb not in "v":
        return "[" + " ".join(_converted(verb, flags, precision, item) for item in value) + "]"
    if value is None or value is NO_VALUE:
        return "<nil>" if verb == "v" else f"%!{verb}(<nil>)"
    if isinstance(value, str) or verb in "sq":
        return _string(verb, flags, precision, to_text(value))
    return to_text(value) if verb == "v" else _wrong(verb, value)


def _wrong(verb: str, value: object) -> str:
    return f"%!{verb}({type_name(value)}={to_text(value)})"


def _string(verb: str, flags: str, precision: int | None, text: str) -> str:
    if precision is not None and verb in "svqxX":
        text = text[:precision]
    if verb == "q" or (verb == "v" and "#" in flags):
        return f"`{text}`" if verb == "q" and "#" in flags and "`" not in text else quote(text)
    if verb in "sv":
        return text
    if verb in "xX":
        separator = " " if " " in flags else ""
        shown = text.encode().hex(separator) if separator else text.encode().hex()
        return shown.upper() if verb == "X" else shown
    return _wrong(verb, text)


_BASES = {"d": "d", "v": "d", "b": "b", "o": "o", "x": "x", "X": "X"}


def _integer(verb: str, flags: str, value: int) -> str:
    if verb in _BASES:
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        sign = "-" if value < 0 else "+" if "+" in flags else " " if " " in flags else ""
        return sign + prefix + format(abs(value), _BASES[verb])
    if verb in "cq" and 0 <= value <= 0x10FFFF:
        return (
            chr(value) if verb == "c" else "'" + ("\\'" if value == 39 else '"' if value == 34 else _quoted(chr(value))) + "'"
        )
    if verb == "U":
        return f"U+{value:04X}"
    return _wrong(verb, value)


def _float(verb: str, flags: str, precision: int | None, value: float) -> str:
    if verb not in "vgGeEfF":
        return _wrong(verb, value)
    if not math.isfinite(value):
        return format_float(value)
    if verb in "vgG" and precision is None:
        text = format_float(value)
        text = text.upper() if verb == "G" else text
    else:
        kind = {"v": "g", "F": "f"}.get(verb, verb)
        text = format(value, f".{6 if precision is None else precision}{kind}")
    if not text.startswith("-"):
        text = ("+" if "+" in flags else " " if " " in flags else "") + text
    return text
