"""Any combination of type, components, byte order, compression, predictor, bit order and layout, encoded by hand."""

import zlib
from dataclasses import dataclass

import imagecodecs
import manifestry as mf
import numpy as np
import zarr
from examples import examples
from hypothesis import HealthCheck, given, settings, strategies as st

COMPRESS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: zlib.compress,
    32773: imagecodecs.packbits_encode,
    34925: imagecodecs.lzma_encode,
    50000: imagecodecs.zstd_encode,
}
SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}
DISTANCES = {2: 1, 3: 1, 34892: 2, 34893: 4, 34894: 2, 34895: 4}
TYPES = [*[("u", n) for n in (*range(1, 33), 64)], *[("i", n) for n in (8, 16, 32, 64)]]
TYPES += [("f", 16), ("f", 32), ("f", 64), ("c", 64), ("c", 128)]


@dataclass(frozen=True)
class Form:
    """How pixels are stored."""

    kind: str
    bits: int
    order: str
    compression: int
    predictor: int
    fill_order: int

    def values(self, shape, rng):
        if self.kind == "u":
            size = next(n for n in (8, 16, 32, 64) if n >= self.bits)
            return rng.integers(0, 2**self.bits - 1, shape, "u8", endpoint=True).astype(f"u{size // 8}")
        return rng.integers(0, 256, (*shape, self.bits // 8), "u1").view(f"{self.kind}{self.bits // 8}")[..., 0]

    def encode(self, segment):
        """The bytes of a tile or strip ``(rows, columns, components)``."""
        stored = segment.astype(segment.dtype.newbyteorder(self.order))
        distance = DISTANCES.get(self.predictor)
        if self.predictor in (3, 34894, 34895):
            rows = [bytes(imagecodecs.floatpred_encode(stored, axis=-2, dist=distance))]
        elif distance:
            words = segment.view(f"u{segment.itemsize}")
            differences = words.copy()
            differences[:, distance:] -= words[:, :-distance]
            rows = [differences.astype(differences.dtype.newbyteorder(self.order)).tobytes()]
        elif self.kind == "u" and self.bits not in (8, 16, 32, 64):
            places = np.arange(self.bits - 1, -1, -1, dtype="u8")
            bits = segment.reshape(len(segment), -1, 1).astype("u8") >> places & np.uint64(1)
            rows = [np.packbits(row.astype("u1").ravel()).tobytes() for row in bits]
        else:
            rows = [row.tobytes() for row in stored]
        encode = COMPRESS[self.compression]
        data = b"".join(bytes(encode(row)) for row in rows) if self.compression == 32773 else encode(b"".join(rows))
        return bytes(imagecodecs.bitorder_encode(bytes(data)) if self.fill_order == 2 else data)


def tiff(form, values, make, *, planar, tile, rows, sparse, big):
    """A file, and the pixels that it holds: sparse segments are zero."""
    height, width, samples = values.shape
    length, across = tile or (min(rows, height), width)
    planes = [values[..., i : i + 1] for i in range(samples)] if planar else [values]
    held = [plane.copy() for plane in planes]
    data, offsets, counts = bytearray(), [], []
    for plane, kept in zip(planes, held, strict=True):
        for y in range(0, height, length):
            for x in range(0, width, across):
                segment = plane[y : y + length, x : x + across]
                if sparse and len(offsets) % 3 == 1:
                    kept[y : y + length, x : x + across] = 0
                    offsets.append(0)
                    counts.append(0)
                    continue
                if tile:
                    missing = [(0, length - len(segment)), (0, across - segment.shape[1]), (0, 0)]
                    segment = np.pad(segment, missing)
                encoded = form.encode(np.ascontiguousarray(segment))
                offsets.append(16 + len(data))
                counts.append(len(encoded))
                data += encoded
    long = 16 if big else 4
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, [form.bits] * samples), (259, 3, form.compression), (262, 3, 1),
        (277, 3, samples), (284, 3, 2 if planar else 1), (317, 3, form.predictor), (266, 3, form.fill_order),
        (339, 3, [SAMPLE_FORMATS[form.kind]] * samples),
    ]  # fmt: skip
    if tile:
        tags += [(322, 4, across), (323, 4, length), (324, long, offsets), (325, 4, counts)]
    else:
        tags += [(273, long, offsets), (278, 4, rows), (279, 4, counts)]
    return make([tags], bytes(data), order=form.order, big=big), np.concatenate(held, axis=-1)


@st.composite
def forms(draw):
    kind, bits = draw(st.sampled_from(TYPES))
    order, compression = draw(st.sampled_from("<" if bits == 24 else "<>")), draw(st.sampled_from(list(COMPRESS)))
    predictors = [1]
    if compression not in (1, 32773) and bits in (8, 16, 32, 64) and (kind != "c" or order == "<"):
        predictors += [2, 34892, 34893] if kind != "f" else list(DISTANCES)
    return Form(kind, bits, order, compression, draw(st.sampled_from(predictors)), draw(st.sampled_from([1, 1, 1, 2])))


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=forms(),
    size=st.sampled_from([(24, 32), (25, 40), (35, 16), (13, 100), (1, 4)]),
    samples=st.integers(1, 5),
    tile=st.sampled_from([None, None, (16, 16), (10, 20), (64, 80)]),
    rows=st.sampled_from([1, 5, 12, 1000]),
    seed=st.integers(0, 1 << 16),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_every_combination_reads_back(make_tiff, form, size, samples, tile, rows, seed, flags):
    planar, sparse, big, rectilinear = flags
    values = form.values((*size, samples), np.random.default_rng(seed))
    path, held = tiff(form, values, make_tiff, planar=planar, tile=tile, rows=rows, sparse=sparse, big=big)
    tree = mf.parse(path, ifd=0, rectilinear=rectilinear)
    with zarr.config.set({"array.rectilinear_chunks": True}):
        found = zarr.open_group(mf.open_store(tree), mode="r")["0"][...]
    expected = np.moveaxis(held, -1, 0) if samples > 1 else held[..., 0]
    assert found.dtype == (bool if form.bits == 1 else expected.dtype)
    assert found.astype(expected.dtype).tobytes() == expected.tobytes()
