"""The rules that every parser keeps, on documents of HDF5 files and on one written by hand."""

from __future__ import annotations

import base64
import zlib

import h5py
import numpy as np
import pytest
from manifestry.testing.conformance import ParserCase, ParserTests, Pointer


class TestDmrpp(ParserTests):
    format = "dmrpp"

    @pytest.fixture(autouse=True)
    def _makers(self, describe, tmp_path):
        self.describe = describe
        self.document = tmp_path / "cases" / "hand.bin.dmrpp"

    def make_cases(self, directory):
        path = directory / "file.h5"
        values = {
            "packed": np.arange(70, dtype="f4").reshape(10, 7),
            "group/deep/plain": np.arange(5, dtype=">i8"),
            "record": np.array([(1, [2, 3])], [("a", "<i4"), ("b", "<f8", (2,))]),
            "text": np.array([b"ab", b"c"]),
        }
        with h5py.File(path, "w") as file:
            for name, data in values.items():
                file[name] = data
            del file["packed"]
            packed = file.create_dataset(
                "packed", data=values["packed"], chunks=(4, 3), compression="gzip", shuffle=True
            )
            packed.attrs["units"] = "K"
            file.attrs["title"] = "conformance"
        native = {name: data.astype(data.dtype.newbyteorder("=")) for name, data in values.items()}
        yield ParserCase(self.describe(path), native)
        yield self._by_hand()

    def _by_hand(self):
        floats = np.arange(4, dtype="<f4")
        (self.document.parent / "hand.bin").write_bytes(floats.astype(">f4").tobytes())
        zipped = base64.b64encode(zlib.compress(floats.tobytes())).decode()
        self.document.write_text(
            '<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" '
            'name="hand.bin" dmrpp:version="3.21.0"><Dimension name="x" size="4"/>'
            '<Attribute name="HDF5_GLOBAL" type="Container"><Attribute name="title" type="String"><Value>t</Value>'
            "</Attribute></Attribute>"
            '<Float32 name="big"><Dim name="/x"/><dmrpp:chunks byteOrder="BE"><dmrpp:chunk offset="0" nBytes="16"/>'
            "</dmrpp:chunks></Float32>"
            f'<Group name="g"><Float32 name="here"><Dim name="x"/><dmrpp:missingdata>{zipped}</dmrpp:missingdata></Float32>'
            '<String name="texts"><Dim size="3"/><dmrpp:vlsa><v c="2">ab</v><v/></dmrpp:vlsa></String></Group>'
            '<Int16 name="filled"><Dim size="2"/><dmrpp:chunks fillValue="-7"/></Int16></Dataset>'
        )
        texts = np.array(["ab", "ab", ""], np.dtypes.StringDType())
        values = {"big": floats, "g/here": floats, "g/texts": texts, "filled": np.array([-7, -7], "i2")}
        return ParserCase(self.document, values)

    def make_pointers(self, directory, url):
        for name, whole, chunk in (("dataset", url, ""), ("chunk", "data.bin", f'href="{url}"')):
            path = directory / f"{name}.dmrpp"
            path.write_text(
                '<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#" xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" '
                f'name="data.bin" dmrpp:version="3.21.0" dmrpp:href="{whole}"><Int8 name="v"><Dim size="16"/>'
                f'<dmrpp:chunks><dmrpp:chunk offset="0" nBytes="16" {chunk}/></dmrpp:chunks></Int8></Dataset>'
            )
            yield Pointer(path=path, target=b"secret of others")
