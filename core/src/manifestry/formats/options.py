"""Typed options: one struct gives Python types, ``--oo``/``--co key=value``, help text and docs."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect

from manifestry.errors import OptionError

__all__ = ["OptionInfo", "check_names", "describe_options", "make_options", "options_to_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionInfo:
    """One option of a struct, for help texts and docs.

    Attributes
    ----------
    name, type, description
        What it is called, what it takes and what it does, in words.
    default
        Its value when it is not given.
    usage
        How it is given on the command line: ``"compat=equals|close|override"``.
    """

    name: str
    type: str
    default: Any
    description: str
    usage: str


def make_options(
    struct: type[msgspec.Struct] | None, given: Mapping[str, Any], owner: str, *, call: Callable[..., Any] | None = None
) -> Any:
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
    call
        The function that took them besides its own keywords, one of which may have been meant.

    Raises
    ------
    OptionError
        A name is unknown, or a value is not allowed.
    """
    check_names(given, struct, owner, call=call)
    if struct is None:
        return None
    fields, lists = _fields(struct), _lists(struct)
    values = {name: _from_text(value, fields[name]) for name, value in given.items()}
    values = {name: (value,) if name in lists and isinstance(value, str) else value for name, value in values.items()}
    for field in _info(struct).fields:
        if field.name in values:
            _check_inside(field.type, values[field.name], f"{owner}: {field.name}")
    try:
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        raise OptionError(f"{owner}: {_reason(struct, str(error))}") from error


def check_names(
    given: Mapping[str, Any],
    struct: type[msgspec.Struct] | None,
    owner: str,
    *,
    common: type[msgspec.Struct] | None = None,
    call: Callable[..., Any] | None = None,
) -> None:
    """Check that every option is one of the format, or one that all formats have.

    Parameters
    ----------
    given
        Values by name.
    struct, owner, call
        As for `make_options`.
    common
        The options that all formats have.

    Raises
    ------
    OptionError
        A name is unknown: the message says which one may have been meant, and which there are.
    """
    if not isinstance(given, Mapping):
        raise OptionError(f"options of {owner}: expected a mapping of names to values, not {type(given).__name__}")
    own, shared = ([] if kind is None else sorted(_fields(kind)) for kind in (struct, common))
    for name in given:
        if name not in own and name not in shared:
            there = f"there are: {', '.join(own)}" if own else "it has none of its own" if shared else "it has none"
            every = f"; for every format: {', '.join(shared)}" if shared else ""
            guess = _guess(name, [*own, *shared, *_keywords(call)])
            raise OptionError(f"{owner} has no option {name!r}{guess}; {there}{every}")


def _guess(name: object, known: list[str]) -> str:
    """Which of the known names may have been meant, as a part of a message."""
    close = difflib.get_close_matches(str(name).casefold().replace("-", "_"), known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _keywords(call: Callable[..., Any] | None) -> Iterator[str]:
    """The names of a function's own keywords."""
    if call is not None:
        yield from (p.name for p in inspect.signature(call).parameters.values() if p.kind is p.KEYWORD_ONLY)


def _check_inside(type_: msgspec.inspect.Type, value: Any, where: str) -> None:
    """Check that the names inside a value are those of the structs that it is converted to, at any depth."""
    match type_:
        case msgspec.inspect.Metadata():
            _check_inside(type_.type, value, where)
        case msgspec.inspect.UnionType():
            for one in type_.types:
                _check_inside(one, value, where)
        case msgspec.inspect.StructType() if isinstance(value, Mapping):
            check_names(value, type_.cls, where)
            for field in type_.fields:
                if field.name in value:
                    _check_inside(field.type, value[field.name], f"{where}: {field.name}")
        case msgspec.inspect.DictType() if isinstance(value, Mapping):
            for key, one in value.items():
                _check_inside(type_.value_type, one, f"{where}: {key}")
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType() if isinstance(value, list | tuple):
            for one in value:
                _check_inside(type_.item_type, one, where)


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
def _info(struct: type[msgspec.Struct]) -> msgspec.inspect.StructType:
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)
    return info


@cache
def _lists(struct: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the fields that take a list of texts, and no single text."""
    types = {field.name: _alternatives(field.type) for field in _info(struct).fields}
    return frozenset(
        name for name, kinds in types.items() if any(map(_is_text_list, kinds)) and not any(map(_is_text, kinds))
    )


def _alternatives(type_: msgspec.inspect.Type) -> list[msgspec.inspect.Type]:
    """The types of a union, or the one type, without metadata."""
    match type_:
        case msgspec.inspect.Metadata():
            return _alternatives(type_.type)
        case msgspec.inspect.UnionType():
            return [one for part in type_.types for one in _alternatives(part)]
    return [type_]


def _is_text(type_: msgspec.inspect.Type) -> bool:
    """Whether a type takes texts, any or some."""
    if isinstance(type_, msgspec.inspect.LiteralType):
        return all(isinstance(value, str) for value in type_.values)
    return isinstance(type_, msgspec.inspect.StrType)


def _is_text_list(type_: msgspec.inspect.Type) -> bool:
    lists = msgspec.inspect.ListType | msgspec.inspect.VarTupleType
    return isinstance(type_, lists) and all(map(_is_text, _alternatives(type_.item_type)))


def _from_text(value: Any, type_: Any) -> Any:
    """The JSON inside a text that holds a list or mapping; anything else unchanged."""
    if isinstance(value, str) and value[:1] in "[{" and type_ is not str:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def describe_options(struct: type[msgspec.Struct] | None) -> list[OptionInfo]:
    """What each option of a struct is; descriptions are in its ``msgspec.Meta``."""
    if struct is None:
        return []
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    return [
        OptionInfo(
            name=field.name,
            type=_type_name(field.type),
            default=_default(field),
            description=_description(schema[field.name]),
            usage=f"{field.name}={_placeholder(field.type, _default(field))}",
        )
        for field in _info(struct).fields
    ]


def _default(field: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None


def _description(schema: Mapping[str, Any]) -> str:
    if "description" in schema:
        return str(schema["description"])
    return next((str(s["description"]) for s in schema.get("anyOf", ()) if "description" in s), "")


def _type_name(type_: Any) -> str:
    match type_:
        case msgspec.inspect.Metadata():
            return _type_name(type_.type)
        case msgspec.inspect.UnionType():
            return " or ".join(_type_name(k) for k in type_.types)
        case msgspec.inspect.LiteralType():
            return " or ".join(repr(v) for v in type_.values)
        case msgspec.inspect.NoneType():
            return "none"
        case msgspec.inspect.StructType():
            return f"JSON with {', '.join(field.name for field in type_.fields)}"
        case msgspec.inspect.DictType():
            return f"mapping of {_type_name(type_.key_type)} to {_type_name(type_.value_type)}"
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return f"list of {_type_name(type_.item_type)}"
    names = {"IntType": "integer", "StrType": "text", "FloatType": "number", "BoolType": "true or false"}
    return names.get(type(type_).__name__, type(type_).__name__.removesuffix("Type").lower())


def _placeholder(type_: msgspec.inspect.Type, default: Any = None) -> str:
    """The placeholder of a value in the usage of an option: of several words, the default comes first."""
    match type_:
        case msgspec.inspect.Metadata():
            return _placeholder(type_.type, default)
        case msgspec.inspect.UnionType():
            kinds = [one for one in type_.types if not isinstance(one, msgspec.inspect.NoneType)]
            return "|".join(dict.fromkeys(_placeholder(one, default) for one in kinds))
        case msgspec.inspect.LiteralType():
            return "|".join(map(str, sorted(type_.values, key=lambda value: value != default)))
        case msgspec.inspect.ListType() | msgspec.inspect.VarTupleType():
            return f"{_placeholder(type_.item_type)}|JSON"
        case msgspec.inspect.BoolType():
            return "true|false"
        case msgspec.inspect.IntType() | msgspec.inspect.FloatType():
            return "N"
        case msgspec.inspect.StrType():
            return "TEXT"
    return "JSON"


def options_to_json(options: msgspec.Struct | None) -> dict[str, Any]:
    """The options that differ from their defaults, as JSON: what provenance keeps."""
    if options is None:
        return {}
    defaults = _defaults(type(options))
    values = {name: getattr(options, name) for name in defaults}
    return {k: msgspec.json.decode(msgspec.json.encode(v)) for k, v in values.items() if v != defaults[k]}


@cache
def _defaults(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.name: _default(field) for field in _info(struct).fields}
