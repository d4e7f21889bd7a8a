"""Codecs of TIFF: bit order, superfluous bytes, differences, LERC with a mask, complex integers."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, strategies as st
from manifestry_codecs.base import DecodeError
from manifestry_codecs.tiff import BitOrder, ComplexInteger, HorizontalDifference, Lerc, Trim


@given(st.binary(min_size=1))
def test_bit_order_reverses_every_byte(data):
    decoded = BitOrder().decode(data)
    assert bytes(decoded) == bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
    assert bytes(BitOrder().encode(bytes(decoded))) == data


def test_trim_cuts_and_never_pads():
    assert bytes(Trim(3).decode(b"abcde")) == b"abc"
    assert bytes(Trim(3).decode(b"abc")) == b"abc"
    with pytest.raises(DecodeError, match="the chunk has 2 bytes, 3 are needed"):
        Trim(3).decode(b"ab")
    with pytest.raises(ValueError, match="nbytes is 0"):
        Trim(0)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("distance", [1, 2, 6])
def test_differences_are_summed_along_rows(size, endian, distance):
    words = (
        np.random.default_rng(1).integers(0, 1 << 8 * size, (5, 12), dtype="u8", endpoint=False)
        if size < 8
        else (np.random.default_rng(1).integers(0, 1 << 63, (5, 12), dtype="u8"))
    )
    words = words.astype(f"{'<' if endian == 'little' else '>'}u{size}")
    differences = words.copy()
    for column in range(distance, 12):
        differences[:, column] = words[:, column] - words[:, column - distance]
    codec = HorizontalDifference(size, endian, 12, distance)
    assert bytes(codec.decode(differences.tobytes())) == words.tobytes()
    assert bytes(codec.encode(words.tobytes())) == differences.tobytes()


def test_differences_of_broken_rows_are_refused():
    with pytest.raises(DecodeError, match="23 bytes are not whole rows of 12 elements of 2 bytes"):
        HorizontalDifference(2, "little", 12, 3).decode(bytes(23))
    with pytest.raises(ValueError, match="over 5 of 12 elements"):
        HorizontalDifference(2, "little", 12, 5)


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("holes", ["none", "some", "shared", "all"])
def test_lerc_restores_what_its_mask_leaves_out(samples, holes):
    values = np.random.default_rng(2).normal(size=(8, 6, samples)).astype("f4")
    where = {"none": (), "some": (2, slice(None), -1), "shared": 3, "all": ...}[holes]
    if holes != "none":
        values[where] = np.nan
    codec = Lerc(samples)
    decoded = codec.decode(bytes(codec.encode(values)))
    assert (decoded.shape, decoded.dtype) == (values.shape, values.dtype)
    np.testing.assert_array_equal(decoded, values)


def test_lerc_makes_alpha_of_its_mask():
    values = np.arange(96, dtype="u1").reshape(8, 6, 2)
    mask = values[..., 0] % 3 > 0
    decoded = Lerc(3).decode(bytes(imagecodecs.lerc_encode(values, level=0.0, masks=mask)))
    np.testing.assert_array_equal(decoded[..., 2], mask * 255)
    np.testing.assert_array_equal(decoded[mask][:, :2], values[mask])
    assert Lerc(3).decode(bytes(imagecodecs.lerc_encode(values, level=0.0)))[..., 2].min() == 255
    with pytest.raises(DecodeError, match="the chunk has 2 components, 4 are needed"):
        Lerc(4).decode(bytes(imagecodecs.lerc_encode(values, level=0.0)))


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
