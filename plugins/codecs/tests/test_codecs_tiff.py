"""Codecs of TIFF: bit order, superfluous bytes, complex integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifestry_codecs.base import DecodeError
from manifestry_codecs.tiff import BitOrder, ComplexInteger, Trim


@given(st.binary(min_size=1))
def test_bit_order_reverses_every_byte(data):
    decoded = BitOrder().decode(data)
    assert bytes(decoded) == bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    assert bytes(BitOrder().encode(bytes(decoded))) == data


def test_trim_cuts_and_never_pads():
    assert bytes(Trim(3).decode(b"abcde")) == b"abc"
    assert bytes(Trim(3).decode(b"abc")) == b"abc"
    with pytest.raises(DecodeError, match="2 bytes where 3 are needed"):
        Trim(3).decode(b"ab")
    with pytest.raises(ValueError, match="nbytes is 0"):
        Trim(0)


@pytest.mark.parametrize(("bits", "dtype"), [(16, "c8"), (32, "c16")])
@pytest.mark.parametrize(("endian", "order"), [("little", "<"), ("big", ">")])
def test_complex_integers_are_exact(bits, dtype, endian, order):
    low, high = np.iinfo(f"i{bits // 8}").min, np.iinfo(f"i{bits // 8}").max
    parts = np.array([low, high, -1, 0, 7, -8], f"{order}i{bits // 8}")
    decoded = ComplexInteger(bits, endian).decode(parts.tobytes())
    assert decoded.dtype == dtype
    np.testing.assert_array_equal(decoded, np.array([complex(low, high), -1, 7 - 8j]))


def test_complex_integers_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="complex integers of 8 bits"):
        ComplexInteger(8, "little")
