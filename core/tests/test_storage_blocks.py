"""The block reader against the bytes themselves."""

import io

import pytest
from hypothesis import given, strategies as st
from manifestry.storage.blocks import BlockReader

DATA = bytes(i * 7 % 251 for i in range(1000))


class Recorder:
    """Serves ranges of `data` and writes down the calls."""

    def __init__(self, data=DATA):
        self.data, self.calls = data, []

    def __call__(self, ranges):
        self.calls.append(list(ranges))
        assert all(0 <= a < b <= len(self.data) for a, b in ranges)
        return [self.data[a:b] for a, b in ranges]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 300)),
        st.tuples(st.just("seek"), st.integers(0, 1200)),
        st.tuples(st.just("end"), st.integers(-1000, 100)),
        st.tuples(st.just("range"), st.integers(-5, 1100), st.integers(-5, 1100)),
        st.tuples(st.just("prefetch"), st.lists(st.tuples(st.integers(-5, 1100), st.integers(-5, 1100)), max_size=3)),
    )
)


@given(steps, st.integers(1, 400), st.integers(1, 8), st.integers(0, 1000))
def test_reads_what_the_bytes_are(program, block_size, max_blocks, preloaded):
    recorder = Recorder()
    reader = BlockReader(recorder, len(DATA), block_size=block_size, max_blocks=max_blocks)
    reader.preload(0, DATA[:preloaded])
    oracle = io.BytesIO(DATA)
    for step in program:
        match step:
            case "read", count:
                assert reader.read(count) == oracle.read(count)
            case "seek", position:
                assert reader.seek(position) == oracle.seek(position)
            case "end", offset:
                assert reader.seek(offset, io.SEEK_END) == oracle.seek(offset, io.SEEK_END)
            case "range", start, stop:
                assert reader.read_range(start, stop) == DATA[max(start, 0) : max(stop, 0)]
            case "prefetch", ranges:
                reader.prefetch(ranges)
        assert reader.tell() == oracle.tell()


def test_nothing_is_fetched_twice_and_neighbours_are_one_range():
    recorder = Recorder()
    reader = BlockReader(recorder, len(DATA), block_size=100)
    assert reader.read_range(150, 420) == DATA[150:420]
    assert recorder.calls == [[(100, 500)]]
    reader.read_range(0, 600)
    assert recorder.calls[1:] == [[(0, 100), (500, 600)]]
    reader.read_range(0, 600)
    assert len(recorder.calls) == 2


def test_blocks_are_fetched_where_they_are_touched():
    recorder = Recorder()
    reader = BlockReader(recorder, len(DATA), block_size=100)
    reader.seek(-1, io.SEEK_END)
    assert reader.read() == DATA[-1:]
    assert recorder.calls == [[(900, 1000)]]


def test_prefetch_is_one_call():
    recorder = Recorder()
    reader = BlockReader(recorder, len(DATA), block_size=100)
    reader.prefetch([(5, 10), (950, 2000), (410, 420), (7, 3), (2000, 2**62)])
    assert recorder.calls == [[(0, 100), (400, 500), (900, 1000)]]
    reader.read_range(410, 420)
    assert len(recorder.calls) == 1


def test_preloaded_bytes_are_not_fetched():
    recorder = Recorder()
    reader = BlockReader(recorder, len(DATA), block_size=100)
    reader.preload(0, DATA[:250])
    assert reader.read_range(0, 200) == DATA[:200]
    assert not recorder.calls
    assert reader.read_range(0, 210) == DATA[:210]
    assert recorder.calls == [[(200, 300)]]


def test_a_read_may_be_larger_than_the_cache():
    recorder = Recorder()
    reader = BlockReader(recorder, len(DATA), block_size=10, max_blocks=2)
    assert reader.read_range(0, 1000) == DATA
    assert io.BufferedReader(reader).read() == DATA


def test_negative_seeks():
    reader = BlockReader(Recorder(), len(DATA))
    with pytest.raises(OSError, match="seek to -1: positions must not be negative"):
        reader.seek(-1)
    assert reader.seekable()
    assert reader.readable()
