"""XML in text tags, element by element. Documents that declare entities are refused: they may grow without bound."""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["parse_xml"]


def parse_xml(text: str, start: Callable[[str, Mapping[str, str]], None], end: Callable[[str, str], None]) -> None:
    """Call `start` with name and attributes, and `end` with name and text, of each element; names without namespaces.

    Raises
    ------
    ValueError
        The text is not XML, or declares entities.
    """
    content: list[str] = []

    def on_start(name: str, attributes: dict[str, str]) -> None:
        content.clear()
        start(name.rpartition(":")[2], attributes)

    def on_end(name: str) -> None:
        end(name.rpartition(":")[2], "".join(content).strip())
        content.clear()

    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = content.append
    parser.EntityDeclHandler = _refuse_entities
    try:
        parser.Parse(text, True)  # noqa: FBT003 expat takes it by position
    except xml.parsers.expat.ExpatError as error:
        raise ValueError(f"the text is not XML: {error}") from error


def _refuse_entities(*_declaration: Any) -> None:
    raise ValueError("the XML declares entities, which may grow without bound")
