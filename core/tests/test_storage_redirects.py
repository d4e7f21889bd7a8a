"""Where servers may send requests for what a document names."""

import json
import pickle
import socket

import manifestry as mf
import numpy as np
import pytest
import zarr
from manifestry.errors import SourceError
from manifestry.model.files import NamedBy, SourceFile
from manifestry.storage import redirects
from manifestry.storage.access import Access
from manifestry.storage.hosts import looked_up_private
from manifestry.storage.redirects import Redirects
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source
from manifestry.testing.servers import range_server

HERE = "https://data.example.org/a/x"
DATA = bytes(range(16))


@pytest.fixture
def web(monkeypatch):
    """Answers of an internet without servers: where each URL leads, and which names have private addresses."""
    answers, private, asked = {}, set(), []

    def answer(url):
        asked.append(url)
        return answers.get(url, "")

    monkeypatch.setattr(redirects, "_asked", answer)
    monkeypatch.setattr(redirects, "looked_up_private", lambda url: url.split("/")[2] in private)
    answers["asked"], answers["private"] = asked, private
    return answers


def destination(url, by=NamedBy.STRANGER, allow=()):
    return Redirects(Access.of(allow).covers).destination(url, by)


@pytest.mark.parametrize("by", [NamedBy.TRUSTED, NamedBy.STRANGER])
@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ("https://mirror.example.com/x?sign=1", "https://mirror.example.com/x?sign=1"),
        ("//mirror.example.com/x", "https://mirror.example.com/x"),
        ("https://user:secret@mirror.example.com/x#part", "https://mirror.example.com/x"),
        ("/b/x", "https://data.example.org/b/x"),
        ("y", "https://data.example.org/a/y"),
    ],
)
def test_public_hosts_are_followed_without_credentials(web, by, there, expected):
    web[HERE] = there
    assert destination(HERE, by) == expected


@pytest.mark.parametrize(
    "there",
    [
        "http://mirror.example.com/x", "http://data.example.org/x", "http://127.0.0.1/x", "https://127.0.0.1/x",
        "https://localhost./x", "https://2130706433/x", "https://[::ffff:169.254.169.254]/x", "https://intranet/x",
        "https://inner.example.com/x", "https://[::1/x", "file:///etc/passwd", "ftp://mirror.example.com/x", "https://u@10.0.0.1/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("hops", [1, 3])
def test_private_hosts_and_downgrades_are_refused(web, there, hops):
    web["private"].add("inner.example.com")
    at = HERE
    for hop in range(1, hops):
        web[at] = at = f"https://mirror{hop}.example.com/x"
    web[at] = there
    with pytest.raises(SourceError, match="is redirected to "):
        destination(HERE)
    if there.startswith("http") and "[::1/" not in there:
        plain = there.replace("u@", "")
        assert destination(HERE, allow=[plain]) == plain


def test_names_of_private_addresses_are_refused(web):
    web["private"].add("data.example.org")
    with pytest.raises(SourceError, match="its host has a private address"):
        destination(HERE)
    assert destination(HERE, NamedBy.TRUSTED) == HERE
    assert web["asked"] == [HERE]


def test_names_are_looked_up(monkeypatch):
    found = {}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: [(0, 0, 0, "", (a, 0)) for a in found[host]])
    for addresses, private in ((["1.1.1.1"], False), (["1.1.1.1", "10.0.0.1"], True), (["::1"], True),
                               (["fe80::1%eth0"], True), (["64:ff9b::a00:1"], True)):  # fmt: skip
        found["a.example.org"] = addresses
        assert looked_up_private("https://a.example.org/x") is private


def test_redirects_in_a_circle_end(web):
    web[HERE], web["https://data.example.org/a/y"] = "y", "x"
    with pytest.raises(SourceError, match="more than 5 times"):
        destination(HERE)


def test_answers_are_kept(web):
    known = Redirects(lambda _: False)
    for name in "xyz":
        known.destination(f"https://data.example.org/a/{name}", NamedBy.STRANGER)
        known.destination(f"http://data.example.org/a/{name}?z", NamedBy.STRANGER)
        known.destination(f"http://data.example.org/a/{name}?z", NamedBy.STRANGER)
    web["https://data.example.org/b/x"] = "https://mirror.example.com/x"
    for _ in range(2):
        known.destination("https://data.example.org/b/x", NamedBy.STRANGER)
    https, http = ([url for url in web["asked"] if url.startswith(scheme)] for scheme in ("https:", "http:"))
    assert https == [HERE, "https://data.example.org/b/x", "https://mirror.example.com/x"]  # one of a directory
    assert len(http) == 3  # each, once


@pytest.fixture
def pointing():
    """A server with a document that names an object of its own, and another server."""
    array = {"zarr_format": 2, "shape": [16], "chunks": [16], "dtype": "|u1", "compressor": None, "filters": None}
    with range_server({}) as own, range_server({"/secret": DATA}) as other:

        def name(url):
            refs = {".zgroup": '{"zarr_format": 2}', "v/.zarray": json.dumps(array | {"order": "C", "fill_value": 0})}
            text = json.dumps({"version": 1, "refs": refs | {"v/0": [url, 0, 16]}})
            own.objects["/r.json"] = text.encode()
            return f"{own.url}/r.json"

        yield own, other, name


def values(tree, **more):
    return np.asarray(zarr.open_group(mf.open_store(tree, **more), mode="r")["v"][...]).tobytes()


@pytest.mark.parametrize("travelled", [False, True])
def test_what_is_read_later_is_not_led_elsewhere(pointing, travelled):
    own, other, name = pointing
    own.redirects["/moved"] = f"{other.url}/secret"
    tree = mf.parse(name(f"{own.url}/moved"), format="kerchunk-json")
    tree = pickle.loads(pickle.dumps(tree)) if travelled else tree
    for each in (tree, tree.select(["v"]), tree.with_(provenance=())):
        with pytest.raises(SourceError, match="which is no public host; if you trust it"):
            values(each)
    assert other.requests == []
    assert values(tree, allow=[other.url]) == DATA


def test_copying_and_combining_are_not_led_elsewhere(pointing, tmp_path):
    own, other, name = pointing
    own.redirects["/moved"] = f"{other.url}/secret"
    document = name(f"{own.url}/moved")
    with pytest.raises(SourceError, match="no public host"):
        mf.convert(document, tmp_path / "a.json", format="kerchunk-json", write={"inline_below": 1000})
    with pytest.raises(SourceError, match="no public host"):
        mf.to_xarray(mf.parse(document, format="kerchunk-json"), load=["v"])
    assert other.requests == []


def test_what_the_caller_names_is_led_anywhere_and_asked_no_more(tmp_path):
    with range_server({}) as own, range_server({"/f.bin": DATA}) as other:
        own.redirects["/f.bin"] = f"{other.url}/f.bin"
        assert Source(f"{own.url}/f.bin").range(0, 16) == DATA
        before = len(own.requests)
        file = SourceFile(f"{own.url}/f.bin", 16)
        assert Source.at(file.url, StoreRegistry(), file).range(0, 4) == DATA[:4]
        assert len(own.requests) == before + 1


def test_a_document_costs_one_question_for_each_object(pointing):
    own, _, name = pointing
    own.objects["/data"] = DATA
    tree = mf.parse(name(f"{own.url}/data"), format="kerchunk-json")
    own.reset()
    store = mf.open_store(tree)
    for _ in range(3):
        assert np.asarray(zarr.open_group(store, mode="r")["v"][...]).tobytes() == DATA
    assert [request.range for request in own.requests] == ["bytes=0-0", *["bytes=0-15"] * 3]
