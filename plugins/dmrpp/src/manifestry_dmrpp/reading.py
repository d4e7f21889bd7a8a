"""One streaming pass over the document with expat.

Elements are known by their local names, whatever prefix and namespace they have: BES compares literal names, and
namespace URIs differ between documents. DOCTYPE and entity declarations are refused, so nothing expands and nothing
outside is looked at. The text of ``chunk`` elements of variables that are not wanted is skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from manifestry import Limits
from manifestry.plugin import MalformedFileError, Source, UnsupportedFeatureError

from manifestry_dmrpp.chunk_list import ChunkList
from manifestry_dmrpp.document import Attribute, Dim, Enumeration, Group, StringRun, StringRuns, Variable
from manifestry_dmrpp.elements import VARIABLE_TYPES

__all__ = ["read_document"]

_PIECE: Final = 4 << 20
_LEVELS_BESIDES_GROUPS: Final = 64
_PAYLOADS: Final = frozenset({"compact", "missingdata", "specialstructuredata"})
_CHUNK: Final = frozenset({"chunk", "block"})


def read_document(source: Source, limits: Limits, wanted: Callable[[str], bool]) -> Group:
    """Read a document.

    Parameters
    ----------
    wanted
        Whether the variable at a path is to be kept; of others nothing but their dimensions is.

    Raises
    ------
    MalformedFileError
        It is not well-formed XML, or not a DMR++ document.
    UnsupportedFeatureError
        It is larger than the limits allow.
    """
    if source.size > limits.max_metadata_bytes:
        raise UnsupportedFeatureError(
            f"a document of {source.size} bytes",
            source.url,
            f"limits.max_metadata_bytes is {limits.max_metadata_bytes}",
        )
    reader = _DocumentReader(source.url, limits, wanted)
    for start in range(0, source.size, _PIECE):
        reader.feed(source.range(start, start + _PIECE))
    return reader.close()


class _DocumentReader:
    """Handlers of expat. The stack holds what each open element becomes; None where it is ignored."""

    def __init__(self, url: str, limits: Limits, wanted: Callable[[str], bool]) -> None:
        self._url = url
        self._limits = limits
        self._wanted = wanted
        self._root: Group | None = None
        self._stack: list[Any] = []
        self._open_chunks: ChunkList | None = None
        self._text: list[str] = []
        self._take_text: Callable[[str], None] | None = None
        self._markup: list[str] | None = None  # inside OtherXML
        self._unwanted = 0  # depth inside a variable that is skipped
        self._skipped: Variable
        self._count = 0
        self._local: dict[str, str] = {}
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._refuse_declaration
        parser.EntityDeclHandler = self._refuse_declaration

    def feed(self, data: bytes) -> None:
        """Parse the next piece of the document."""
        self._parse(data, final=False)

    def close(self) -> Group:
        """The whole document."""
        self._parse(b"", final=True)
        assert self._root is not None
        return self._root

    def _parse(self, data: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
            if self._open_chunks is not None:
                self._open_chunks.flush()
        except expat.ExpatError as error:
            raise MalformedFileError(f"{self._url}: not well-formed XML: {error}") from error
        except (LookupError, ValueError) as error:  # pyexpat, of encodings it does not know
            raise MalformedFileError(f"{self._url}: the XML cannot be read: {error}") from error

    def _refuse_declaration(self, *_: Any) -> None:
        line = self._parser.CurrentLineNumber
        raise MalformedFileError(
            f"{self._url}: a DOCTYPE or entity declaration in line {line}: DMR++ must not have one"
        )

    # ---- elements

    def _start(self, name: str, attributes: list[str]) -> None:
        local = self._local.get(name) or self._local.setdefault(name, name.rpartition(":")[2])
        if self._unwanted:
            self._unwanted += 1
            if local == "Dim" and self._unwanted == _INSIDE:
                self._skipped.dims.append(_dim(_by_local_name(attributes)))
            return
        if self._markup is not None:
            pairs = zip(attributes[0::2], attributes[1::2], strict=True)
            self._markup.append(f"<{name}{''.join(f' {k}={quoteattr(v)}' for k, v in pairs)}>")
            self._stack.append(None)
            return
        if len(self._stack) > self._limits.max_depth + _LEVELS_BESIDES_GROUPS:
            raise MalformedFileError(
                f"{self._url}: elements are nested deeper than the limit of {len(self._stack) - 1}"
            )
        parent = self._stack[-1] if self._stack else None
        if local in _CHUNK and isinstance(parent, ChunkList):
            parent.waiting.append(attributes)
            parent.is_block |= local == "block"
            self._stack.append(None)
            return
        self._push(self._element(local, parent, _by_local_name(attributes)))

    def _follow_chunks(self, chunks: ChunkList) -> None:
        """Handlers for the inside of a ``chunks`` element, of which there may be millions: one list entry for each."""
        usual = next((n for n, local in self._local.items() if local == "chunk"), "dmrpp:chunk")
        take, start, end = chunks.waiting.append, self._start, self._end

        def start_chunk(name: str, attributes: list[str]) -> None:
            if name == usual:
                take(attributes)
            else:
                start(name, attributes)

        def end_chunk(name: str) -> None:
            if name != usual:
                end(name)

        self._parser.StartElementHandler = start_chunk
        self._parser.EndElementHandler = end_chunk

    def _push(self, node: Any) -> None:
        if node is _UNWANTED:
            self._unwanted = 1
            return
        self._stack.append(node)
        if isinstance(node, ChunkList):
            self._open_chunks = node
            self._follow_chunks(node)

    def _end(self, name: str) -> None:
        if self._unwanted:
            self._unwanted -= 1
            return
        node = self._stack.pop()
        if self._markup is not None:
            self._end_markup(name, node)
        if node is None:
            return
        if self._take_text is not None and node is self._text:
            self._take_text("".join(self._text))
            self._take_text = self._parser.CharacterDataHandler = None
        elif isinstance(node, ChunkList):
            node.flush()
            self._open_chunks = None
            self._parser.StartElementHandler, self._parser.EndElementHandler = self._start, self._end

    def _element(self, local: str, parent: Any, attributes: dict[str, str]) -> Any:
        """What an element becomes in its parent; None where it is ignored."""
        match parent:
            case None if not self._stack:
                return self._dataset(local, attributes)
            case Group():
                return self._in_group(local, parent, attributes)
            case Variable():
                return self._in_variable(local, parent, attributes)
            case Attribute():
                return self._in_attribute(local, parent, attributes)
            case ChunkList() if local == "chunkDimensionSizes":
                return self._collect(lambda text: setattr(parent, "chunk_sizes", text))
            case Enumeration() if local == "EnumConst":
                parent.labels.append((attributes.get("name", ""), attributes.get("value", "")))
            case StringRuns() if local == "v":
                return self._collect(
                    lambda text: parent.append(StringRun(text, attributes.get("c"), attributes.get("s")))
                )
        return None

    def _dataset(self, local: str, attributes: dict[str, str]) -> Group:
        if local != "Dataset":
            raise MalformedFileError(
                f"{self._url}: not a DMR++ document: its root element is {local}, expected Dataset"
            )
        self._root = Group(name=attributes.get("name", ""), path="", properties=attributes)
        return self._root

    def _in_group(self, local: str, group: Group, attributes: dict[str, str]) -> Any:
        name = attributes.get("name", "")
        if local in VARIABLE_TYPES:
            return self._variable(local, group, f"{group.path}/{name}".lstrip("/"), attributes)
        match local:
            case "Group":
                return self._group(group, name)
            case "Dimension":
                group.dimensions[name] = attributes.get("size", "")
            case "Enumeration":
                return group.enumerations.setdefault(name, Enumeration(attributes.get("basetype", "")))
            case "Attribute":
                return self._attribute(group.attributes, attributes)
        return None

    def _group(self, parent: Group, name: str) -> Group:
        self._count_node()
        group = Group(name=name, path=f"{parent.path}/{name}".lstrip("/"), parent=parent)
        if group.path.count("/") >= self._limits.max_depth:
            raise MalformedFileError(
                f"{self._url}: groups are nested deeper than limits.max_depth ({self._limits.max_depth})"
            )
        parent.groups.append(group)
        return group

    def _variable(self, local: str, group: Group, path: str, attributes: dict[str, str]) -> Any:
        self._count_node()
        variable = Variable(
            type=local,
            name=attributes.get("name", ""),
            path=path,
            group=group,
            enum=attributes.get("enum", ""),
            wanted=self._wanted(path),
        )
        group.variables.append(variable)
        if not variable.wanted:
            self._skipped = variable
            return _UNWANTED
        return variable

    def _count_node(self) -> None:
        self._count += 1
        if self._count > self._limits.max_arrays:
            hint = "raise limits.max_arrays"
            raise UnsupportedFeatureError(f"more than {self._limits.max_arrays} variables and groups", self._url, hint)

    def _in_variable(self, local: str, variable: Variable, attributes: dict[str, str]) -> Any:
        if local in VARIABLE_TYPES:
            name = attributes.get("name", "")
            member = Variable(
                type=local,
                name=name,
                path=f"{variable.path}.{name}",
                group=variable.group,
                enum=attributes.get("enum", ""),
            )
            variable.members.append(member)
            return member
        if local in _PAYLOADS:
            return self._collect(lambda text: variable.payloads.__setitem__(local, text))
        match local:
            case "Dim":
                variable.dims.append(_dim(attributes))
            case "Map":
                variable.maps.append(attributes.get("name", ""))
            case "Attribute":
                return self._attribute(variable.attributes, attributes)
            case "chunks":
                variable.chunks = ChunkList(attributes)
                return variable.chunks
            case "chunk":
                if variable.chunks is None:
                    variable.chunks = ChunkList({})
                variable.chunks.waiting.append([text for pair in attributes.items() for text in pair])
                variable.chunks.flush()
            case "vlsa":
                variable.strings = StringRuns()
                return variable.strings
            case "FixedLengthStringArray":
                variable.string_length, variable.string_padding = attributes.get("string_length"), attributes.get("pad")
        return None

    # ---- attributes and text

    def _attribute(self, siblings: list[Attribute], attributes: dict[str, str]) -> Attribute:
        attribute = Attribute(attributes.get("name", ""), attributes.get("type", ""))
        if "value" in attributes:
            attribute.values.append(attributes["value"])
        siblings.append(attribute)
        if attribute.type == "OtherXML":
            self._markup = []
            self._parser.CharacterDataHandler = self._quote
        return attribute

    def _quote(self, text: str) -> None:
        if self._markup is not None:
            self._markup.append(escape(text))

    def _in_attribute(self, local: str, attribute: Attribute, attributes: dict[str, str]) -> Any:
        if local == "Attribute":
            return self._attribute(attribute.members, attributes)
        if local == "Value":
            if "value" in attributes:
                attribute.values.append(attributes["value"])
                return None
            return self._collect(attribute.values.append)
        return None

    def _collect(self, take: Callable[[str], None]) -> list[str]:
        """Collect the text of the element that begins, and hand it on when it ends."""
        self._text = []
        self._take_text = take
        self._parser.CharacterDataHandler = self._text.append
        return self._text

    def _end_markup(self, name: str, node: Any) -> None:
        assert self._markup is not None
        if isinstance(node, Attribute):
            node.values = ["".join(self._markup).strip()]
            self._markup = self._parser.CharacterDataHandler = None
        else:
            self._markup.append(f"</{name}>")


_UNWANTED: Final = object()
_INSIDE: Final = 2
"""Depth of the elements directly in a variable that is skipped."""


def _by_local_name(attributes: list[str]) -> dict[str, str]:
    """XML attributes by their names without prefixes; declarations of namespaces are left out."""
    pairs = zip(attributes[0::2], attributes[1::2], strict=True)
    return {key.rpartition(":")[2]: value for key, value in pairs if not key.startswith("xmlns")}


def _dim(attributes: dict[str, str]) -> Dim:
    return Dim(attributes.get("name"), attributes.get("size"))
