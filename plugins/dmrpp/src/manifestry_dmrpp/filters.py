"""``compressionType`` → codecs.

The list is in the order of encoding. Documents without ``dmrpp:version`` list it in any order; BES reads those as
shuffle, deflate, fletcher32, and so does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from manifestry.plugin import Codec, MalformedFileError, UnsupportedFeatureError

__all__ = ["deflate_levels", "filter_codecs", "filter_names"]

_CANONICAL: Final = ("shuffle", "deflate", "fletcher32")
_CHECKSUM_BYTES: Final = 4
_DEFAULT_LEVEL: Final = 6


def filter_names(properties: Mapping[str, str], *, legacy: bool) -> tuple[str, ...]:
    """The filters of a ``chunks`` element in the order of encoding."""
    names = tuple(properties.get("compressionType", "").split())
    if not legacy:
        return names
    return tuple(n for n in _CANONICAL if n in names) + tuple(n for n in names if n not in _CANONICAL)


@lru_cache(maxsize=4096)
def filter_codecs(
    names: tuple[str, ...], levels: tuple[int, ...], itemsize: int, chunk_bytes: int, mask: int
) -> tuple[Codec, ...]:
    """The codecs of a pipeline.

    A repeated deflate needs care: files exist in which some chunks were deflated once only. Documents that have
    deflate levels have the filter masks of chunks too (both came with BES 3.21), and say so there. With others, as in
    BES, a chunk that has its full size after the first inflation is not inflated again.

    Parameters
    ----------
    names
        The filters in the order of encoding.
    levels
        Levels of the deflates among them, as far as the document has them.
    itemsize, chunk_bytes
        Bytes of an element and of a chunk before the first filter.
    mask
        Bit i says that filter i was skipped, for all chunks.

    Raises
    ------
    UnsupportedFeatureError
        A filter has no codec.
    """
    codecs: list[Codec] = []
    size: int | None = chunk_bytes  # bytes that reach the next filter, while the data does not decide
    deflates = 0
    last = max((i for i, name in enumerate(names) if name == "deflate" and not mask >> i & 1), default=-1)
    for position, name in enumerate(names):
        level = levels[min(deflates, len(levels) - 1)] if levels else _DEFAULT_LEVEL
        deflates += name == "deflate"
        if mask >> position & 1:
            continue
        if name == "shuffle":
            codecs.append(_shuffle(itemsize, size))
        elif name == "fletcher32":
            codecs.append(Codec("numcodecs.fletcher32", {}))
            size = None if size is None else size + _CHECKSUM_BYTES
        elif name == "deflate":
            once = position == last or size is None or bool(levels)
            inner = {"id": "zlib", "level": level}
            codecs.append(
                Codec("numcodecs.zlib", {"level": level})
                if once
                else Codec("manifestry.optional", {"size": size, "codec": inner})
            )
            size = None
        else:
            raise UnsupportedFeatureError(f"compressionType {name}", hint="there is no codec for it")
    return tuple(codecs)


def _shuffle(itemsize: int, size: int | None) -> Codec:
    """The usual codec, except where the bytes are not a whole number of elements: HDF5 leaves the rest as it is."""
    whole = itemsize == 1 or (size is not None and size % itemsize == 0)
    return Codec("numcodecs.shuffle" if whole else "manifestry.shuffle", {"elementsize": itemsize})


def deflate_levels(properties: Mapping[str, str]) -> tuple[int, ...]:
    """The levels of the deflates of a ``chunks`` element, in the order of encoding.

    Raises
    ------
    MalformedFileError
        One of them is not a number.
    """
    texts = (properties.get("deflateLevel") or properties.get("deflate_level") or "").split()
    if not all(text.isascii() and text.isdecimal() for text in texts):
        raise MalformedFileError(f"deflateLevel {' '.join(texts)!r}: must be integers")
    return tuple(min(int(text), 9) for text in texts)
