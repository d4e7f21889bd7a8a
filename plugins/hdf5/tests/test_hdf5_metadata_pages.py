"""Pages of metadata: which are read together, and which are guessed."""

import h5py
import pytest
from examples import examples
from hdf5_library import opened
from hypothesis import given, settings, strategies as st
from manifestry_hdf5 import metadata_pages
from manifestry_hdf5.file_bytes import LocalFile
from manifestry_hdf5.metadata_pages import MetadataPages
from manifestry_hdf5.structures.batched_reads import read_alone
from manifestry_hdf5.structures.data_objects.object_header import find_message, read_messages
from manifestry_hdf5.structures.file_metadata.file_space import FILE_SPACE_MESSAGE, parse_page_size
from manifestry_hdf5.structures.file_metadata.superblock import Superblock

PAGE = 1 << 16
OVERLAP = 4096


def numbers(pages, ranges, base=0):
    """The pages that are read around some ranges."""
    found = pages.around(ranges)
    assert all(stop - start <= PAGE + OVERLAP for start, stop in found)
    return [(start - base) // PAGE for start, _ in found]


@pytest.mark.parametrize("base", [0, 512])
def test_whole_pages_are_read(base):
    pages = MetadataPages(base, PAGE, base + 100 * PAGE)
    at = base + 7 * PAGE
    assert numbers(pages, [(at + 5000, at + 5100)], base) == [7]
    assert numbers(pages, [(at + PAGE - 96, at + PAGE + 416)], base) == [7]
    assert numbers(pages, [(at, at + 2 * PAGE)], base) == [7, 8]
    assert pages.around([(base + 99 * PAGE, base + 99 * PAGE + 9)]) == [(base + 99 * PAGE, base + 100 * PAGE)]


def at(*pages):
    return [(n * PAGE, n * PAGE + 512) for n in pages]


def test_pages_at_regular_distances_are_guessed():
    assert numbers(MetadataPages(0, PAGE, 60 * PAGE), at(10, 20, 30, 40)) == [10, 20, 30, 40, 50]
    assert numbers(MetadataPages(0, PAGE, 55 * PAGE), at(10, 20, 41)) == [10, 20, 30, 41, 51]


@pytest.mark.parametrize("touched", [(10,), (3, 4, 5, 6), (10, 23, 57), (10, 20, 100)])
def test_no_page_is_guessed_without_a_distance(touched):
    assert numbers(MetadataPages(0, PAGE, 101 * PAGE), at(*touched)) == list(touched)


def test_no_more_pages_are_guessed_than_there_are():
    assert numbers(MetadataPages(0, PAGE, 1000 * PAGE), at(10, 20, 30)) == [10, 20, 30]


@settings(max_examples=examples(200), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 400)), min_size=1, max_size=12), st.sampled_from([0, 512])
)
def test_pages_are_counted_as_they_are_listed(spans, base):
    ranges = sorted((first * (PAGE // 8), (first + length) * (PAGE // 8)) for first, length in spans)
    pages = {n for a, b in ranges for n in range((a - base) // PAGE, (max(a, b - 1 - OVERLAP) - base) // PAGE + 1)}
    found = MetadataPages(base, PAGE, 1 << 40).around(ranges)
    assert bool(found) == (len(pages) * PAGE <= 16 << 20)


def test_far_pages_are_counted_before_they_are_listed(monkeypatch):
    """Neither what is asked for nor what would be guessed becomes a list before it is known to be short."""
    listed = []

    def counted(*bounds):
        numbers = range(*bounds)
        listed.append(len(numbers))
        return numbers

    monkeypatch.setattr(metadata_pages, "range", counted, raising=False)
    pages = MetadataPages(0, PAGE, 1 << 50)
    assert pages.around([(0, 1 << 45)]) == []
    assert numbers(pages, at(0, 2, 10_000_000)) == [0, 2, 10_000_000]
    assert max(listed) < 100


def test_of_large_pages_a_part_is_read():
    pages = MetadataPages(0, 1 << 23, 1 << 30)
    assert pages.around([((5 << 20) + 77, (5 << 20) + 99)]) == [(5 << 20, (6 << 20) + OVERLAP)]


def test_too_many_pages_are_not_read_whole():
    assert MetadataPages(0, PAGE, 1 << 40).around(at(*range(0, 3000, 7))) == []


@pytest.mark.parametrize("page", [None, 512, 4096, 1 << 20])
def test_page_size_is_that_of_the_library(tmp_path, page):
    path = tmp_path / "file.h5"
    options = {} if page is None else {"fs_strategy": "page", "fs_page_size": page}
    with h5py.File(path, "w", libver="latest", **options) as file:
        file["x"] = 1
    with opened(path) as (file, _):
        superblock = file.superblock
    octets = LocalFile(path, path.stat().st_size)
    found = (
        ()
        if superblock.extension is None
        else read_alone(read_messages(superblock, superblock.extension), octets.fetch)
    )
    octets.close()
    message = find_message(found, FILE_SPACE_MESSAGE)
    assert (None if message is None else parse_page_size(message.data, superblock)) == page


@pytest.mark.parametrize("message", [b"", b"\1\1", b"\0\1" + bytes(30), b"\1\1\0" + bytes(30)])
def test_what_is_not_understood_is_no_page(message):
    assert parse_page_size(message, Superblock(base=0, offset_size=8, length_size=8)) is None
