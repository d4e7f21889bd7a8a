"""Which locations a document may point at."""

import ast

import pytest
from manifestry.errors import SourceError
from manifestry.storage.hosts import without_dots
from manifestry.storage.policy import ReferencePolicy
from manifestry.storage.source import Source


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
    policy = ReferencePolicy.of(Source("s3://b/docs/x.h5"), None)
    assert policy.permit("s3://b/data/x") == "s3://b/data/x"
    with pytest.raises(SourceError, match="which is not allowed"):
        policy.permit(url)


def test_hosts_that_a_local_document_may_point_at(tmp_path):
    for public in (True, False):
        policy = ReferencePolicy.of(Source(tmp_path / "x.h5"), None, public_hosts=public)
        assert policy.permit("https://data.example.org/x") == "https://data.example.org/x"
        for url in ("http://127.0.0.1/x", "http://localhost/x", "http://169.254.169.254/x", "http://intranet/x"):
            if public:
                with pytest.raises(SourceError, match="which is not allowed"):
                    policy.permit(url)
            else:
                assert policy.permit(url) == url


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
    assert named(ReferencePolicy.of(base, None), url) == prefixes
    policy = ReferencePolicy.of(base, prefixes)
    assert policy.permit(url) == url
    place = url.partition("?")[0]
    directory = place.rpartition("/")[0]
    others = [f"{place}y"] if prefixes == [url] else [f"{directory.rpartition('/')[0]}/y", f"{directory}y/x"]
    for other in others:
        with pytest.raises(SourceError, match="which is not allowed"):
            policy.permit(other)


def test_what_nothing_allows_is_not_advised():
    with pytest.raises(SourceError, match=r"which is not allowed$"):
        ReferencePolicy.of(Source("https://example.org/x.h5"), None).permit("s3://b/../o/x")
