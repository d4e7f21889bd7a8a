"""Typed options: one struct gives Python types, ``--oo``/``--co key=value``, help text and docs."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect

from manifestry.errors import OptionError

__all__ = ["OptionInfo", "describe_options", "make_options", "options_to_json"]


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option of a struct, for help texts and docs."""

    name: str
    type: str
    default: Any
    description: str


def make_options(struct: type[msgspec.Struct] | None, given: Mapping[str, Any], owner: str) -> Any:
    """The options struct from keyword arguments, or from the texts that a command line has.

    Parameters
    ----------
    struct
        The struct, or None for a format without options.
    given
        Values by name; texts are converted to the type of the field, JSON for lists and mappings. A text for a list
        of texts is a list of that one.
    owner
        The format, for messages.

    Raises
    ------
    OptionError
        A name is unknown, or a value is not allowed.
    """
    fields = {} if struct is None else _fields(struct)
    for name in given:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, 1)
            guess = f"; did you mean {close[0]!r}?" if close else ""
            there = f"; there are: {', '.join(sorted(fields))}" if fields else "; it has none"
            raise OptionError(f"{owner} has no option {name!r}{guess}{there}")
    if struct is None:
        return None
    lists = _lists(struct)
    values = {name: _from_text(value, fields[name]) for name, value in given.items()}
    values = {name: (value,) if name in lists and isinstance(value, str) else value for name, value in values.items()}
    try:
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        raise OptionError(f"{owner}: {_reason(struct, str(error))}") from error


def _reason(struct: type[msgspec.Struct], message: str) -> str:
    """What msgspec says of a value, with the name of the option before it and what it takes after."""
    what, _, where = message.partition(" - at `$.")
    name = next((name for name in _fields(struct) if where.split(".")[0].split("[")[0].rstrip("`") == name), None)
    if name is None:
        return message
    takes = next(option.type for option in describe_options(struct) if option.name == name)
    return f"{name}: {what}; it takes {takes}"


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The type of each field; asked for with every source of a run, and resolving annotations takes milliseconds."""
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


@cache
def _lists(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the fields that take a list of texts."""
    return frozenset(option.name for option in describe_options(struct) if option.type.startswith("list of text"))


def _from_text(value: Any, kind: Any) -> Any:
    """The JSON inside a text that stands for a list or mapping; anything else as it is."""
    if isinstance(value, str) and value[:1] in "[{" and kind is not str:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def describe_options(struct: type[msgspec.Struct] | None) -> list[OptionInfo]:
    """What each option of a struct is; descriptions stand in its ``msgspec.Meta``."""
    if struct is None:
        return []
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    return [
        OptionInfo(field.name, _type_name(field.type), _default(field), _description(schema[field.name]))
        for field in info.fields
    ]


def _default(field: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None


def _description(schema: Mapping[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
    return next((str(s["description"]) for s in schema.get("anyOf", ()) if "description" in s), "")


def _type_name(kind: Any) -> str:
    match kind:
        case msgspec.inspect.Metadata():
            return _type_name(kind.type)
        case msgspec.inspect.UnionType():
            return " or ".join(_type_name(k) for k in kind.types)
        case msgspec.inspect.LiteralType():
            return " or ".join(repr(v) for v in kind.values)
        case msgspec.inspect.NoneType():
            return "none"
        case msgspec.inspect.StructType():
            return f"JSON with {', '.join(field.name for field in kind.fields)}"
        case msgspec.inspect.DictType():
            return f"mapping of {_type_name(kind.key_type)} to {_type_name(kind.value_type)}"
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return f"list of {_type_name(kind.item_type)}"
    names = {"IntType": "integer", "StrType": "text", "FloatType": "number", "BoolType": "true or false"}
    return names.get(type(kind).__name__, type(kind).__name__.removesuffix("Type").lower())


def options_to_json(options: msgspec.Struct | None) -> dict[str, Any]:
    """The options that differ from their defaults, as JSON: what provenance keeps."""
    if options is None:
        return {}
    defaults = _defaults(type(options))
    values = {name: getattr(options, name) for name in defaults}
    return {k: msgspec.json.decode(msgspec.json.encode(v)) for k, v in values.items() if v != defaults[k]}


@cache
def _defaults(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {f.name: _default(f) for f in msgspec.inspect.type_info(struct).fields}  # type: ignore[attr-defined]
