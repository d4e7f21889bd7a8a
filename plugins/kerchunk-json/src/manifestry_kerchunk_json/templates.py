"""Templates and generated references of version 1.

The specification takes Jinja expressions; here are understood the ones that it shows and that writers make: names,
whole numbers, ``+ - * // %`` and parentheses, and templates called with texts: ``{{f(c="text")}}``.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from manifestry import Limits
from manifestry.plugin import MalformedFileError

__all__ = ["generate", "render"]

_EXPRESSION: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_MAX_CHARACTERS: Final = 1000
_MAX_DEPTH: Final = 10
_MAX_NUMBER: Final = 2**80


def render(text: str, values: Mapping[str, Any], depth: int = 0) -> str:
    """A text with its expressions replaced.

    Raises
    ------
    MalformedFileError
        An expression is not understood, or names no template.
    """
    if depth > _MAX_DEPTH:
        raise MalformedFileError(f"templates contain each other: {text[:80]!r}")
    return _EXPRESSION.sub(lambda match: str(_evaluate(match[1], values, depth)), text)


def generate(rules: Sequence[Mapping[str, Any]], templates: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """The references that the rules of ``gen`` make.

    Raises
    ------
    MalformedFileError
        A rule is not as the specification says, or makes more references than the limit.
    """
    references: dict[str, Any] = {}
    for rule in rules:
        try:
            ranges = {name: _dimension(value) for name, value in rule["dimensions"].items()}
            count = math.prod(map(len, ranges.values()))
            if count + len(references) > limits.max_chunks:
                raise MalformedFileError(f"gen makes {count} references, more than the limit of {limits.max_chunks}")
            references.update(_references(rule, ranges, templates))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise MalformedFileError(f"gen: the rule {str(rule)[:200]} is not valid: {error!r}") from error
    return references


def _dimension(value: Any) -> Sequence[int]:
    if isinstance(value, Mapping):
        return range(_integer(value.get("start", 0)), _integer(value["stop"]), _integer(value.get("step", 1)))
    return [_integer(item) for item in value]


def _references(
    rule: Mapping[str, Any], ranges: Mapping[str, Sequence[int]], templates: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    for point in itertools.product(*ranges.values()):
        values = {**templates, **dict(zip(ranges, point, strict=True))}
        url = render(rule["url"], values)
        whole = "offset" not in rule
        place = [] if whole else [_number(rule["offset"], values), _number(rule["length"], values)]
        yield render(rule["key"], values), [url, *place]


def _number(value: Any, values: Mapping[str, Any]) -> int:
    return int(render(value, values)) if isinstance(value, str) else _integer(value)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _evaluate(expression: str, values: Mapping[str, Any], depth: int) -> Any:
    """One expression between double braces, without running any code."""
    try:
        if len(expression) > _MAX_CHARACTERS:
            raise MalformedFileError(
                f"a template expression has {len(expression)} characters, more than {_MAX_CHARACTERS}"
            )
        return _value(ast.parse(expression.strip(), mode="eval").body, values, depth)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise MalformedFileError(f"template expression {expression!r} is not understood: {error}") from error


def _value(node: ast.expr, values: Mapping[str, Any], depth: int) -> Any:
    match node:
        case ast.Constant(value=int() | str() as constant):
            return constant
        case ast.Name(id=name) if name in values:
            value = values[name]
            return render(value, values, depth + 1) if isinstance(value, str) else value
        case ast.Name(id=name):
            raise MalformedFileError(f"there is no template {name!r}")
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name in values:
            arguments = {keyword.arg: _value(keyword.value, values, depth) for keyword in keywords if keyword.arg}
            return render(values[name], {**values, **arguments}, depth + 1)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_whole(operand, values, depth)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            result = _OPERATORS[type(sign)](_whole(left, values, depth), _whole(right, values, depth))
            if abs(result) > _MAX_NUMBER:
                raise ValueError("the result has more than 80 bits")
            return result
    raise ValueError(f"{ast.dump(node)[:60]} is not supported")


def _whole(node: ast.expr, values: Mapping[str, Any], depth: int) -> int:
    return _integer(_value(node, values, depth))
