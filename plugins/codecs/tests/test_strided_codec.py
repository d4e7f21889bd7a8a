"""Pieces at equal distances: what is between them is left out, and nothing else is made of a chunk."""

import numcodecs
import numpy as np
import pytest
from hypothesis import given, strategies as st
from manifestry_codecs.base import DecodeError
from manifestry_codecs.strided import Strided


@given(st.integers(1, 20), st.integers(0, 30), st.integers(1, 9), st.data())
def test_pieces_follow_each_other(length, gap, count, data):
    held = data.draw(st.integers(1, count))
    chunk = np.random.default_rng(length).integers(0, 255, (held - 1) * (length + gap) + length, "u1")
    codec = Strided(length=length, stride=length + gap, count=count)
    expected = b"".join(chunk[i * (length + gap) :][:length].tobytes() for i in range(held))
    decoded = codec.decode(chunk.tobytes()).tobytes()
    assert decoded == expected.ljust(count * length, b"\0")
    assert codec.decode(codec.encode(decoded)).tobytes() == decoded


@pytest.mark.parametrize("size", [0, 1, 3, 5, 13, 15, 23, 25, 34])
def test_chunks_that_do_not_end_with_a_piece_raise(size):
    codec = numcodecs.get_codec({"id": "manifestry.strided", "length": 4, "stride": 10, "count": 3})
    with pytest.raises(DecodeError, match=r"manifestry\.strided"):
        codec.decode(bytes(size))


@pytest.mark.parametrize("configuration", [(0, 4, 1), (4, 3, 1), (4, 4, 0), (-1, 4, 1)])
def test_configurations_that_mean_nothing_are_refused(configuration):
    with pytest.raises(ValueError, match="must be at least"):
        Strided(*configuration)


def test_only_whole_chunks_are_encoded():
    with pytest.raises(ValueError, match="must have 3 pieces"):
        Strided(4, 10, 3).encode(bytes(8))
