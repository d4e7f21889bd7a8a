"""Which locations a document may point at."""

import ast
import os

import pytest
from manifestry.errors import SourceError
from manifestry.storage.access import Access
from manifestry.storage.hosts import without_dots
from manifestry.storage.policy import ReferencePolicy
from manifestry.storage.registry import StoreRegistry
from manifestry.storage.source import Source
from obstore.store import HTTPStore


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://h/a/b..c/d", "http://h/a/b..c/d"),
        ("http://h/a?x=/../b", "http://h/a?x=/../b"),
        ("http://h/public/../private/x", "http://h/private/x"),
        ("http://h/public/%2e%2E/private", "http://h/private"),
        ("http://h/public/..%2fprivate", "http://h/private"),
        ("http://h/a\\..\\..\\b", "http://h/b"),
        ("s3://b/a/./x", "s3://b/a/x"),
        ("s3://b/a/../x", "s3://b/x"),
        ("s3://b/../o/x", None),
        ("s3://b/%2e%2e/o", None),
    ],
)
def test_dots_are_followed(url, meant):
    assert without_dots(url) == meant


@pytest.mark.parametrize("url", ["s3://b/../o/x", "s3://b/a/../../o/x", "s3://other/x", "file:///etc/passwd"])
def test_a_document_in_a_bucket_stays_there(url):
    policy = ReferencePolicy.of(Source("s3://b/docs/x.h5"))
    assert policy.permit("s3://b/data/x") == "s3://b/data/x"
    with pytest.raises(SourceError, match="which is not allowed"):
        policy.permit(url)


PRIVATE = [
    "http://127.0.0.1/x", "http://127.1/x", "http://2130706433/x", "http://0x7f000001/x", "http://0177.0.0.1/x",
    "http://localhost/x", "http://localhost./x", "http://LOCALHOST:8080/x", "http://a.localhost/x", "http://0/x",
    "http://169.254.169.254/x", "http://10.0.0.1/x", "http://192.168.1.1/x", "http://100.64.0.1/x", "http://intranet/x",
    "http://[::1]/x", "http://[::]/x", "http://[::ffff:127.0.0.1]/x", "http://[::ffff:7f00:1]/x", "http://[::127.0.0.1]/x",
    "http://[64:ff9b::7f00:1]/x", "http://[2002:7f00:1::]/x", "http://[fe80::1%25eth0]/x", "http://[fd00::1]/x",
    "http://224.0.0.1/x", "http://u:p@127.0.0.1/x", "http://example.org@127.0.0.1/x", "http://127.0.0.1\\@example.org/x",
    "http://%31%32%37.0.0.1/x", "http://①②⑦.⓪.⓪.①/x", "http://127。0。0。1/x", "https://a.internal/x", "http://[::1/x",
]  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
def test_a_local_document_points_at_public_hosts_only(tmp_path, url):
    document = Source(tmp_path / "x.h5")
    policy = ReferencePolicy.of(document)
    assert policy.permit("https://data.example.org/x") == "https://data.example.org/x"
    assert policy.permit("http://[2606:4700::1111]/x")
    with pytest.raises(SourceError, match="which is not allowed, for its host is not public"):
        policy.permit(url)
    origin = "/".join(url.split("/")[:3])
    if "\\" not in url:
        assert ReferencePolicy.of(document, allow=[origin]).permit(url) == url
        stores = {origin: HTTPStore.from_url("http://127.0.0.1:9", client_options={"allow_http": True})}
        assert ReferencePolicy.of(Source(tmp_path / "x.h5", stores)).permit(url) == url


@pytest.mark.parametrize("place", ["/dev/zero", "/proc/self/environ", "/sys/kernel/uevent_seqnum"])
def test_what_lies_on_no_disk_is_not_pointed_at(tmp_path, place):
    document = Source(tmp_path / "x.h5")
    with pytest.raises(SourceError, match="no file of a disk"):
        ReferencePolicy.of(document).permit(f"file://{place}")
    link = tmp_path / "link"
    link.symlink_to(place)
    with pytest.raises(SourceError, match="no file of a disk"):
        Source(link).ranges([(0, 0), (0, Source(link).size or 1)]) if Source(link).size else Source(link).open()


def test_a_pipe_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="no file of a disk"):
        Source(tmp_path / "pipe").open()


def test_links_lead_out_for_documents_that_are_local_and_trusted(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "data.bin").write_bytes(b"x")
    (inside / "link").symlink_to(outside / "data.bin")
    (inside / "data.bin").write_bytes(b"x")
    own, link, other = (f"file://{path}" for path in (inside / "data.bin", inside / "link", outside / "data.bin"))
    document = inside / "x.h5"

    def permitted(base, **access):
        policy = ReferencePolicy.of(Source(base, StoreRegistry(access=Access.of(**access))))
        return [policy.permits(url) for url in (own, link, other)]

    assert permitted(document, allow=None) == [True, True, True]
    assert permitted(document, allow=None, untrusted=True) == [True, False, False]
    assert permitted(document, allow=[str(inside)]) == [True, True, False]
    assert permitted("https://example.org/x.h5", allow=[str(inside)]) == [True, False, False]
    assert permitted("https://example.org/x.h5", allow=None) == [False, False, False]


def test_an_untrusted_document_stays_where_it_is(tmp_path):
    base = Source(tmp_path / "x.h5", StoreRegistry(access=Access.of(None, untrusted=True)))
    policy = ReferencePolicy.of(base)
    for url in ("https://data.example.org/x", "s3://bucket/x", "file:///etc/passwd", f"file://{tmp_path}2/x"):
        with pytest.raises(SourceError, match="for the document is untrusted"):
            policy.permit(url)
    assert policy.resolve("deeper/x") == f"file://{tmp_path}/deeper/x"
    with pytest.raises(SourceError, match="untrusted"):
        policy.resolve("../x")


def named(policy, url):
    """The prefixes that the refusal of a URL names."""
    with pytest.raises(SourceError) as caught:
        policy.permit(url)
    return ast.literal_eval(str(caught.value).partition("add allow=")[2])


@pytest.mark.parametrize(
    ("url", "prefixes"),
    [
        ("file:///home/me/data/x.h5", ["file:///home/me/data/"]),
        ("file:///etc/passwd", ["file:///etc/"]),
        ("file:///x.h5", ["file:///x.h5"]),
        ("file:///data/100%25/x.h5", ["/data/100%25/"]),
        ("s3://other/a/b/x", ["s3://other/a/b/"]),
        ("s3://other/a/50%25 #?/x", ["s3://other/a/50%25 #?/"]),
        ("s3://other/x", ["s3://other/x"]),
        ("http://127.0.0.1:80/a/x?sign=a/b/c", ["http://127.0.0.1:80/a/"]),
        ("http://127.0.0.1:80/x?sign=a/b/c", ["http://127.0.0.1:80/x?sign=a/b/c"]),
        ("http://127.0.0.1:80/a/%2e%2e/b/c/x", ["http://127.0.0.1:80/a/%2e%2e/b/c/", "http://127.0.0.1:80/b/c/"]),
        ("http://127.0.0.1:80/a/./c/x", ["http://127.0.0.1:80/a/./c/", "http://127.0.0.1:80/a/c/"]),
    ],
)
def test_refusals_name_no_more_than_is_needed(url, prefixes):
    """What they name is what a URL needs; it lets nothing in from the directory above, nor from beside the file."""
    base = Source("https://example.org/x.h5")
    assert named(ReferencePolicy.of(base), url) == prefixes
    policy = ReferencePolicy.of(base, allow=prefixes)
    assert policy.permit(url) == url
    place = url.partition("?")[0]
    directory = place.rpartition("/")[0]
    others = [f"{place}y"] if prefixes == [url] else [f"{directory.rpartition('/')[0]}/y", f"{directory}y/x"]
    for other in others:
        with pytest.raises(SourceError, match="which is not allowed"):
            policy.permit(other)


def test_what_nothing_allows_is_not_advised():
    with pytest.raises(SourceError, match=r"which is not allowed$"):
        ReferencePolicy.of(Source("https://example.org/x.h5")).permit("s3://b/../o/x")
