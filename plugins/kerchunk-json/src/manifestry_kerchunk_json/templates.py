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

from manifestry import Budget
from manifestry.plugin import MalformedFileError, UnsupportedFeatureError

__all__ = ["Templates", "generate"]

_EXPRESSION: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_OPERATORS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_MAX_CHARACTERS: Final = 1000
_COST: Final = 64
"""Characters that stand for the time that an expression takes."""
_GENERATED: Final = 400
"""Characters that a generated reference brings with it: its key, location, offset and length, and their expressions."""
_MAX_DEPTH: Final = 10
_MAX_NUMBER: Final = 2**80


class Templates:
    """The values of a document's expressions.

    Parameters
    ----------
    values
        Values by name: texts, which may hold expressions themselves, and whole numbers.
    budget
        What the document may be made into: templates that hold each other grow tenfold with each level.
    """

    def __init__(self, values: Mapping[str, Any], budget: Budget) -> None:
        self._values = values
        self._budget = budget
        self._refusal: UnsupportedFeatureError | None = None

    def __bool__(self) -> bool:
        return bool(self._values)

    def with_(self, values: Mapping[str, Any]) -> Templates:
        """These values and others, which come first."""
        return Templates({**self._values, **values}, self._budget)

    def location(self, text: str) -> str:
        """A location with its expressions replaced; errors as of `render`."""
        try:
            return self.render(text)
        except UnsupportedFeatureError as error:
            self._refusal = error
            raise

    def raise_refusal(self) -> None:
        """Refuse the document, of which templates are a part, and not only the arrays that use them.

        Raises
        ------
        UnsupportedFeatureError
            More was made of the document than its budget allows.
        """
        if self._refusal is not None:
            raise self._refusal

    def render(self, text: str, depth: int = 0) -> str:
        """A text with its expressions replaced.

        Raises
        ------
        MalformedFileError
            An expression is not understood, or names no template.
        UnsupportedFeatureError
            More is made of the document than its budget allows.
        """
        if depth > _MAX_DEPTH:
            raise MalformedFileError(f"templates contain each other: {text[:80]!r}")
        if "{{" not in text:
            return text
        return _EXPRESSION.sub(lambda match: self._replacement(match[1], depth), text)

    def _replacement(self, expression: str, depth: int) -> str:
        found = str(_evaluate(expression, self, depth))
        self._budget.spend("max_template_characters", _COST + len(found))
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def value(self, name: str, depth: int) -> Any:
        """The value of a name, with its own expressions replaced."""
        value = self._values[name]
        return self.render(value, depth + 1) if isinstance(value, str) else value


def generate(rules: Any, templates: Templates, budget: Budget) -> dict[str, Any]:
    """The references that the rules of ``gen`` make.

    Raises
    ------
    MalformedFileError
        A rule is not as the specification says.
    UnsupportedFeatureError
        They make more references than the limit.
    """
    if not isinstance(rules, Sequence) or isinstance(rules, str):
        raise MalformedFileError(f"gen: {str(rules)[:80]!r} is not a list of rules")
    references: dict[str, Any] = {}
    for rule in rules:
        try:
            ranges = {name: _dimension(value) for name, value in rule["dimensions"].items()}
            count = math.prod(map(len, ranges.values()))
            budget.spend("max_generated_references", count, "gen")
            budget.spend("max_template_characters", -_GENERATED * count)
            references.update(_references(rule, ranges, templates))
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise MalformedFileError(f"gen: the rule {str(rule)[:200]} is not valid: {error!r}") from error
    return references


def _dimension(value: Any) -> Sequence[int]:
    if isinstance(value, Mapping):
        return range(_integer(value.get("start", 0)), _integer(value["stop"]), _integer(value.get("step", 1)))
    return [_integer(item) for item in value]


def _references(
    rule: Mapping[str, Any], ranges: Mapping[str, Sequence[int]], templates: Templates
) -> Iterator[tuple[str, Any]]:
    for point in itertools.product(*ranges.values()):
        values = templates.with_(dict(zip(ranges, point, strict=True)))
        url = values.render(rule["url"])
        whole = "offset" not in rule
        place = [] if whole else [_number(rule["offset"], values), _number(rule["length"], values)]
        yield values.render(rule["key"]), [url, *place]


def _number(value: Any, values: Templates) -> int:
    return int(values.render(value)) if isinstance(value, str) else _integer(value)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _evaluate(expression: str, values: Templates, depth: int) -> Any:
    """One expression between double braces, without running any code."""
    try:
        if len(expression) > _MAX_CHARACTERS:
            raise MalformedFileError(
                f"a template expression has {len(expression)} characters, more than {_MAX_CHARACTERS}"
            )
        return _value(ast.parse(expression.strip(), mode="eval").body, values, depth)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise MalformedFileError(f"template expression {expression!r} is not understood: {error}") from error


def _value(node: ast.expr, values: Templates, depth: int) -> Any:
    match node:
        case ast.Constant(value=int() | str() as constant):
            return constant
        case ast.Name(id=name) if name in values:
            return values.value(name, depth)
        case ast.Name(id=name):
            raise MalformedFileError(f"there is no template {name!r}")
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name in values:
            arguments = {keyword.arg: _value(keyword.value, values, depth) for keyword in keywords if keyword.arg}
            return values.with_(arguments).value(name, depth)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_whole(operand, values, depth)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            result = _OPERATORS[type(sign)](_whole(left, values, depth), _whole(right, values, depth))
            if abs(result) > _MAX_NUMBER:
                raise ValueError("the result has more than 80 bits")
            return result
    raise ValueError(f"{ast.dump(node)[:60]} is not supported")


def _whole(node: ast.expr, values: Templates, depth: int) -> int:
    return _integer(_value(node, values, depth))
