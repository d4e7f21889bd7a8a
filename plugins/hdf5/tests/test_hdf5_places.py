"""Where an HDF5 file may point: by external links, raw files and sources of virtual datasets."""

import http.server
import threading
from pathlib import Path

import h5py
import manifestry as mf
import numpy as np
import pytest
import xarray as xr
import zarr
from h5py import h5d, h5p, h5s, h5t
from obstore.store import LocalStore, MemoryStore

SECRET = b"my password is s"


@pytest.fixture
def foreign():
    """Another host: its URL, and the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            asked.append(self.path)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def private(tmp_path):
    """A folder of local files that nobody else may see."""
    folder = tmp_path / "private"
    folder.mkdir()
    (folder / "secret.txt").write_bytes(SECRET)
    with h5py.File(folder / "x.h5", "w") as file:
        file["d"] = np.frombuffer(SECRET, "u1")
        file["t"] = np.array([SECRET.decode()], object)
        file["link"] = h5py.SoftLink("/d")
    return folder


def raw(file, name, place, datatype=h5t.STD_U8LE, shape=(16,)):
    """A dataset whose elements are in a raw file."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_external(place.encode(), 0, 16)
    h5d.create(file.id, name.encode(), datatype, h5s.create_simple(shape), properties)


def shown(file, name, place, path="/d", dtype="u1", shape=(16,), limit=None):
    """A virtual dataset of one source."""
    layout = h5py.VirtualLayout(shape, dtype, maxshape=limit)
    source = h5py.VirtualSource(place, path, shape, maxshape=limit)
    if "%" in place:  # as many files as there are
        properties = h5p.create(h5p.DATASET_CREATE)
        here = h5s.create_simple(shape, (h5s.UNLIMITED,))
        here.select_hyperslab((0,), (h5s.UNLIMITED,), shape, shape)
        properties.set_virtual(here, place.encode(), path.encode(), h5s.create_simple(shape))
        h5d.create(file.id, name.encode(), h5t.STD_U8LE, h5s.create_simple(shape, (h5s.UNLIMITED,)), properties)
        return
    everything = slice(h5s.UNLIMITED) if limit else slice(None)
    layout[everything] = source[everything]
    file.create_virtual_dataset(name, layout)


def points_everywhere(path, folder, url):
    """A file that points at local files and at another host by every kind."""
    small = h5t.STD_I32LE.copy()
    small.set_precision(20)  # values that have to be copied
    with h5py.File(path, "w") as file:
        file["ok"] = np.arange(3)
        for where, base in (("local", f"file://{folder}"), ("host", url)):
            raw(file, f"raw_{where}", f"{base}/secret.txt")
            raw(file, f"raw_copied_{where}", f"{base}/secret.txt", small, (4,))
            file[f"link_{where}"] = h5py.ExternalLink(f"{base}/x.h5", "/d")
            file[f"link_texts_{where}"] = h5py.ExternalLink(f"{base}/x.h5", "/t")
            file[f"link_root_{where}"] = h5py.ExternalLink(f"{base}/x.h5", "/")
            file[f"soft_{where}"] = h5py.SoftLink(f"/link_root_{where}/d")
            shown(file, f"virtual_{where}", f"{base}/x.h5")
            shown(file, f"virtual_texts_{where}", f"{base}/x.h5", "/t", h5py.string_dtype(), (1,))
            shown(file, f"virtual_endless_{where}", f"{base}/x.h5", limit=(None,))
            shown(file, f"virtual_pattern_{where}", f"{base}/x%b.h5", limit=(None,))
            shown(file, f"virtual_through_link_{where}", ".", f"link_root_{where}/d")
        raw(file, "raw_path", f"{folder}/secret.txt")
        raw(file, "raw_copied_path", f"{folder}/secret.txt", small, (4,))
        file["link_path"] = h5py.ExternalLink(f"{folder}/x.h5", "/d")
        shown(file, "virtual_path", f"{folder}/x.h5")
    return {"raw_path", "raw_copied_path", "virtual_path", "link_path"} | {
        f"{kind}_{where}"
        for where in ("local", "host")
        for kind in (
            "raw", "raw_copied", "link", "link_texts", "link_root", "soft", "virtual", "virtual_texts",
            "virtual_endless", "virtual_pattern", "virtual_through_link",
        )
    }  # fmt: skip


def served(tmp_path, *names):
    store = MemoryStore()
    for name in names:
        store.put(name, (tmp_path / name).read_bytes())
    return {"memory://here": store}


def test_a_remote_file_points_at_its_own_host_only(tmp_path, private, foreign, monkeypatch):
    url, asked = foreign
    refused = points_everywhere(tmp_path / "x.h5", private, url)
    stores = served(tmp_path, "x.h5")
    monkeypatch.chdir(private)
    tree = mf.parse("memory://here/x.h5", stores=stores, on_unsupported="skip")
    assert sorted(path for path, _ in tree.walk_arrays()) == ["ok"]
    assert {issue.path for issue in tree.issues if issue.severity == "refused"} == refused
    for issue in tree.issues:
        if issue.path.endswith("_host"):  # the file alone: its directory is the whole host
            assert any(f"allow=['{url}/{name}']" in issue.hint for name in ("x.h5", "x0.h5", "secret.txt")), issue
        elif issue.path.endswith("_local"):
            assert f"allow=['file://{private}/']" in issue.hint, issue
    assert asked == []
    mf.write(tree, tmp_path / "out.json")
    written = (tmp_path / "out.json").read_text()
    assert "secret" not in written
    assert "password" not in written
    with pytest.raises(mf.UnsupportedFeatureError, match=r"external link that is not allowed .*/private/'\]"):
        mf.parse("memory://here/x.h5", stores=stores, include=["link_local"])
    more = {"allow": [f"file://{private}/"], "on_unsupported": "skip"}
    allowed = mf.parse("memory://here/x.h5", stores=stores, include=["link_local"], **more)
    assert allowed["link_local"].manifest.files.urls == (f"file://{private}/x.h5",)
    with pytest.raises(mf.UnsupportedFeatureError, match="external raw file that is not allowed"):
        mf.convert(["memory://here/x.h5"], tmp_path / "no.json", stores=stores)
    assert not (tmp_path / "no.json").exists()
    with pytest.raises(mf.UnsupportedFeatureError, match="not allowed"):
        xr.open_dataset("memory://here/x.h5", engine="manifestry", stores=stores)


def test_what_the_caller_allows(tmp_path, private):
    place = f"file://{private}"
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["link"] = h5py.ExternalLink(f"{place}/x.h5", "/d")
        file["soft"] = h5py.SoftLink("/link")
        raw(file, "raw", f"{place}/secret.txt")
        shown(file, "virtual", f"{place}/x.h5")
    stores = served(tmp_path, "x.h5")
    for more in ({"allow": [str(private)]}, {"stores": {**stores, place: LocalStore(private)}}):
        tree = mf.parse("memory://here/x.h5", **{"stores": stores, **more})
        assert sorted(tree.arrays) == ["link", "raw", "soft", "virtual"]
        assert all(array.manifest.files.urls[0].startswith(place) for array in tree.arrays.values())
    with pytest.raises(mf.UnsupportedFeatureError, match="not allowed"):
        mf.parse("memory://here/x.h5", stores=stores, allow=[str(private / "deeper")])


def test_a_file_on_the_way_does_not_point_further(tmp_path, private, foreign):
    url, asked = foreign
    with h5py.File(tmp_path / "first.h5", "w") as file:
        file["through"] = h5py.ExternalLink("second.h5", "/away")
        file["host"] = h5py.ExternalLink("second.h5", "/host")
        shown(file, "virtual", "second.h5", "/virtual")
        shown(file, "source", "second.h5", "/away")
        file["group"] = h5py.ExternalLink("second.h5", "/")
    with h5py.File(tmp_path / "second.h5", "w") as file:
        file["own"] = np.arange(4)
        file["away"] = h5py.ExternalLink(f"file://{private}/x.h5", "/d")
        file["host"] = h5py.ExternalLink(f"{url}/x.h5", "/d")
        shown(file, "virtual", f"file://{private}/x.h5")
    stores = served(tmp_path, "first.h5", "second.h5")
    tree = mf.parse("memory://here/first.h5", stores=stores, on_unsupported="skip")
    assert [path for path, _ in tree.walk_arrays()] == ["group/own"]
    assert {i.path for i in tree.issues} == {
        "through", "host", "virtual", "source", "group/away", "group/host", "group/virtual"
    }  # fmt: skip
    assert asked == []


def test_dots_do_not_lead_out_of_what_is_allowed(tmp_path, foreign):
    url, asked = foreign
    for name in ("../private/x.h5", "%2e%2e/private/x.h5", "..%2fprivate/x.h5", "%252e%252e/x.h5", "..\\private/x.h5"):
        with h5py.File(tmp_path / "x.h5", "w") as file:
            file["link"] = h5py.ExternalLink(f"{url}/public/{name}", "/d")
        stores = served(tmp_path, "x.h5")
        for more in (
            {"allow": [f"{url}/public/"]},
            {"stores": {**stores, f"{url}/public": MemoryStore()}},
        ):
            with pytest.raises(mf.UnsupportedFeatureError, match="external link that is not allowed"):
                mf.parse("memory://here/x.h5", **{"stores": stores, **more})
    assert asked == []


def test_a_local_file_points_at_local_files_and_public_hosts(tmp_path, private, foreign):
    url, asked = foreign
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["absolute"] = h5py.ExternalLink(str(private / "x.h5"), "/d")
        file["relative"] = h5py.ExternalLink("private/x.h5", "/d")
        raw(file, "raw", str(private / "secret.txt"))
        shown(file, "virtual", "private/x.h5")
        shown(file, "texts", "private/x.h5", "/t", h5py.string_dtype(), (1,))
    tree = mf.parse(tmp_path / "x.h5")
    root = zarr.open_group(mf.open_store(tree), mode="r")
    for name in ("absolute", "relative", "raw", "virtual"):
        assert root[name][...].tobytes() == SECRET
    assert root["texts"][...].tolist() == [SECRET.decode()]
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["link"] = h5py.ExternalLink(f"{url}/x.h5", "/d")
    with pytest.raises(mf.UnsupportedFeatureError, match="external link that is not allowed"):
        mf.parse(tmp_path / "y.h5")
    assert asked == []
    with pytest.raises(mf.UnsupportedFeatureError, match="external link that leads nowhere"):
        mf.parse(tmp_path / "y.h5", allow=[url])
    assert asked
    with pytest.raises(mf.UnsupportedFeatureError, match="not allowed"):
        mf.parse(tmp_path / "x.h5", allow=[url])


def test_links_in_paths_lead_to_the_other_file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["d"] = np.arange(4) + 100
        file["t"] = np.array(["right"], object)
    with h5py.File(tmp_path / "main.h5", "w") as file:
        file["d"] = np.arange(4)
        file["t"] = np.array(["wrong"], object)
        file["link"] = h5py.ExternalLink("other.h5", "/")
        shown(file, "virtual", ".", "link/d", "i8", (4,))
        shown(file, "texts", "other.h5", "t", h5py.string_dtype(), (1,))
    stores = served(tmp_path, "main.h5", "other.h5")
    for url, more in ((Path(tmp_path) / "main.h5", {}), ("memory://here/main.h5", {"stores": stores})):
        tree = mf.parse(url, on_unsupported="skip", **more)
        root = zarr.open_group(mf.open_store(tree, **more), mode="r")
        assert root["virtual"][...].tolist() == [100, 101, 102, 103]
        assert "texts" not in tree.arrays or root["texts"][...].tolist() == ["right"]
        part = mf.parse(url, group="link", **more)
        assert zarr.open_group(mf.open_store(part, **more), mode="r")["d"][...].tolist() == [100, 101, 102, 103]


def test_verifying_reads_no_local_file(tmp_path, private):
    (tmp_path / "secret.txt").write_bytes(b"what is served..")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        raw(file, "raw", "/secret.txt")
        file["link"] = h5py.ExternalLink("y.h5", "/d")
        file["d"] = np.arange(16)[::-1]
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["d"] = np.arange(16)
    stores = served(tmp_path, "x.h5", "y.h5", "secret.txt")
    mf.convert(["memory://here/x.h5"], tmp_path / "out.json", stores=stores)
    report = mf.verify(tmp_path / "out.json", stores=stores, samples="all")
    assert report.ok, report
    assert {array.path: array.oracle for array in report.arrays} == {
        "d": "native", "link": "native", "raw": "parsed afresh"
    }  # fmt: skip


def test_values_are_copied_from_remote_files_too(tmp_path):
    """Parts that are not aligned, texts, and a virtual dataset without an end, all in a bucket."""
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.create_dataset("numbers", data=np.arange(20), chunks=(7,), maxshape=(None,))
        file["texts"] = np.array(["one", "zwölf"], object)
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        layout = h5py.VirtualLayout((15,), "i8")
        layout[:] = h5py.VirtualSource("part.h5", "numbers", (20,))[2:17]
        file.create_virtual_dataset("shifted", layout)
        shown(file, "texts", "part.h5", "/texts", h5py.string_dtype(), (2,))
        shown(file, "endless", "part.h5", "/numbers", "i8", (1,), limit=(None,))
        file["link"] = h5py.ExternalLink("part.h5", "/texts")
    stores = served(tmp_path, "x.h5", "part.h5")
    tree = mf.parse("memory://here/x.h5", stores=stores)
    root = zarr.open_group(mf.open_store(tree, stores=stores), mode="r", zarr_format=3)
    assert root["shifted"][...].tolist() == list(range(2, 17))
    assert root["texts"][...].tolist() == root["link"][...].tolist() == ["one", "zwölf"]
    assert root["endless"][...].tolist() == list(range(20))
    assert tree.arrays["endless"].manifest.files.urls == ("memory://here/part.h5",)
