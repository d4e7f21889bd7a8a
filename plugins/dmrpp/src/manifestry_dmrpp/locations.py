"""Where the data is, and where a document may point.

In order: what the caller says (`href_map`, `data_url`), the href of a chunk, the href of the Dataset, the name of the
document. BES's templates mean the data file next to the document, and its companion of missing values.

What the document itself says is held to the rule of `ReferencePolicy`, what the caller says is not. Nothing is asked of another host than the document's own while parsing: sizes of files there stay unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from manifestry.plugin import (
    FileTable,
    ReferencePolicy,
    Source,
    SourceError,
    SourceFile,
    UnsupportedFeatureError,
    canonical_url,
)
from numpy.typing import NDArray

from manifestry_dmrpp.options import DmrppOptions
from manifestry_dmrpp.sidecars import data_url_of

__all__ = ["Locations"]

_DATA_TEMPLATE: Final = "OPeNDAP_DMRpp_DATA_ACCESS_URL"
_MISSING_VALUES_TEMPLATE: Final = "OPeNDAP_DMRpp_SC_DATA_ACCESS_URL"
_MISSING_VALUES_SUFFIX: Final = "_mvs.h5"
_MAX_ASKED: Final = 64
"""Of documents that point at many files, the sizes of no more than this many are asked for."""


class Locations:
    """The source objects of one document.

    Parameters
    ----------
    document
        The document itself.
    properties
        XML attributes of the Dataset: ``dmrpp:href``, and ``dmrpp:s3`` where the archive has the file in a bucket too.
    options
        Options of the parser.
    data
        The data file when the caller gave that instead of the document.
    report
        Called, once, for a data file that cannot be asked for its size.
    """

    def __init__(
        self,
        document: Source,
        properties: Mapping[str, str],
        options: DmrppOptions,
        data: Source | None,
        report: Callable[[str, str], None],
    ) -> None:
        self._document = document
        self._href = properties.get("href")
        bucket = properties.get("s3")
        self._preferred_href = bucket if bucket and (options.prefer_s3 or not self._href) else self._href
        self._map = options.href_map
        self._policy = ReferencePolicy.of(document)
        self._report = report
        self._data_url = data.url if data is not None else None
        if options.data_url is not None:
            self._data_url = canonical_url(options.data_url)
        self._files: dict[str, SourceFile] = {}
        self._urls: dict[str | None, str] = {}
        self._tables: dict[tuple[str, ...], FileTable] = {}

    def files_of(
        self, hrefs: list[str], index: NDArray[np.integer] | None
    ) -> tuple[FileTable, NDArray[np.uint32] | int]:
        """The files of some chunks, and for each chunk the row of its file.

        Parameters
        ----------
        hrefs, index
            Distinct hrefs, and for each chunk the row in them plus one, 0 for chunks without one; None where no chunk
            has one.
        """
        wanted: list[str | None] = [None, *hrefs]
        if index is None:
            return self._table((self.url(None),)), 0
        used = np.unique(index).tolist()
        urls = {row: self.url(wanted[row]) for row in used}
        distinct = tuple(dict.fromkeys(urls.values()))
        row_of = np.zeros(len(wanted), "u4")
        for row, url in urls.items():
            row_of[row] = distinct.index(url)
        return self._table(distinct), row_of[index]

    def source(self, url: str) -> Source:
        """The source at a URL that `url` has given."""
        return Source.at(url, self._document.registry, named_by=self._policy.named_by(url))

    def url(self, href: str | None) -> str:
        """The canonical URL that an href means; None is the Dataset's own.

        Raises
        ------
        UnsupportedFeatureError
            The document may not point there.
        """
        if href not in self._urls:
            self._urls[href] = self._resolve(href)
        return self._urls[href]

    def _table(self, urls: tuple[str, ...]) -> FileTable:
        if urls not in self._tables:
            self._tables[urls] = FileTable([self._file(url) for url in urls])
        return self._tables[urls]

    def _resolve(self, href: str | None) -> str:
        is_own = href is None or href in (self._href, _DATA_TEMPLATE)
        for key in (href, self._href, self._preferred_href) if is_own else (href,):
            mapped = None if key is None else self._apply_map(key)
            if mapped is not None:
                return mapped
        if href is None or is_own:
            return self._data_url or self._of_document(self._preferred_href)
        if href == _MISSING_VALUES_TEMPLATE or (self._href and href == self._href + _MISSING_VALUES_SUFFIX):
            return self.url(None) + _MISSING_VALUES_SUFFIX
        return self._of_document(href)

    def _apply_map(self, href: str) -> str | None:
        if href in self._map:
            return canonical_url(self._map[href])
        prefix = max((k for k in self._map if k.endswith("/") and href.startswith(k)), key=len, default=None)
        return (
            None if prefix is None else canonical_url(self._map[prefix].rstrip("/") + "/" + href.removeprefix(prefix))
        )

    def _of_document(self, href: str | None) -> str:
        """Where the document itself says that a file is."""
        if href is None or href == _DATA_TEMPLATE:
            beside = data_url_of(self._document.url)
            if beside == self._document.url:
                raise UnsupportedFeatureError("a document that does not say where its data is", hint="give data_url")
            return beside
        if "://" in href:
            return self._check_permitted(canonical_url(href))
        # Relative paths of documents start at the root of some server more often than here: then only the name counts.
        url = self._document.resolve(href).url
        beside = self._document.resolve(href.rstrip("/").rpartition("/")[2]).url
        return (
            url if url != beside and self._policy.permits(url) and self._exists(url) else self._check_permitted(beside)
        )

    def _check_permitted(self, url: str) -> str:
        try:
            return self._policy.permit(url)
        except SourceError as error:
            raise UnsupportedFeatureError("an href that is not allowed", hint=str(error)) from error

    def _exists(self, url: str) -> bool:
        try:
            return self.source(url).exists()
        except SourceError:
            return False

    def _file(self, url: str) -> SourceFile:
        """What is known of a file; asked for only where the document itself is or the caller points."""
        if url not in self._files:
            self._files[url] = self._describe(url) if len(self._files) < _MAX_ASKED else SourceFile(url)
        return self._files[url]

    def _describe(self, url: str) -> SourceFile:
        if not self._policy.is_near(url) and url != self._data_url:
            return SourceFile(url)
        try:
            return self.source(url).file
        except SourceError as error:
            self._report("data file that cannot be reached", str(error))
            return SourceFile(url)
