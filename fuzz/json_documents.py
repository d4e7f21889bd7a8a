"""Changes of JSON documents, also of those that stand in texts, as the metadata of Zarr does in Kerchunk JSON."""

import copy
import json
import random
from typing import Any

from fuzz.values import TEXTS, other_number

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 1.5, float("nan"), float("-inf"), -(2**63),
    [], [1], [[]], [None], [{}], ["x"], [["a", "<i2"]], [1, 0], [0.0, 1], {}, {"name": "x"}, {"name": {}}, {"a": {}},
    {"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}, {"id": "zlib"}, {"id": {}}, {"configuration": None},
    "<i2", "|O", ">f8", "|S3", "<M8[s]", "int8", "float32", "r24", "zlib", "blosc", "string", *TEXTS,
)  # fmt: skip


def mutate_json(text: bytes, rng: random.Random) -> bytes:
    """Change one to three values of a document, or some of its bytes."""
    if rng.random() < 0.05:
        data = bytearray(text)
        data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    document = _parsed(json.loads(text))
    for _ in range(rng.choice((1, 1, 2, 3))):
        _change(document, rng)
    return json.dumps(_composed(document), ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")


class _Text(list):
    """A text that is a document itself, the one member."""


def _parsed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _parsed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_parsed(one) for one in value]
    if isinstance(value, str) and value[:1] in "{[" and value:
        try:
            return _Text([_parsed(json.loads(value))])
        except ValueError:
            return value
    return value


def _composed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _composed(one) for key, one in value.items()}
    if isinstance(value, _Text):
        return json.dumps(_composed(value[0]))
    return [_composed(one) for one in value] if isinstance(value, list) else value


def _places(value: Any, holder: Any = None, key: Any = None) -> Any:
    """Every value inside of another, with what holds it and by which key."""
    if holder is not None:
        yield holder, key
    if isinstance(value, dict | list):
        for at, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield from _places(one, value, at)


def _change(document: Any, rng: random.Random) -> None:
    places = list(_places(document))
    if not places:
        return
    holder, key = rng.choice(places)
    old = holder[key]
    kind = rng.randrange(8)
    if isinstance(holder, _Text) and kind < 4:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice([*TEXTS, rng.choice(places)[1]])] = holder.pop(key)
    elif kind == 2:  # what stands elsewhere
        other, at = rng.choice(places)
        holder[key] = copy.deepcopy(other[at]) if other is not holder else rng.choice(VALUES)
    elif kind == 3 and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(old))
    elif isinstance(old, int) and not isinstance(old, bool) and rng.random() < 0.7:
        holder[key] = other_number(old % (1 << 63), 63, rng) * rng.choice((1, 1, 1, -1))
    elif isinstance(old, str) and old and rng.random() < 0.5:
        at = rng.randrange(len(old))
        holder[key] = old[:at] + rng.choice(("", "0", "/", ".", "{{u}}", old)) + old[at + rng.randrange(2) :]
    else:
        holder[key] = copy.deepcopy(rng.choice(VALUES))
