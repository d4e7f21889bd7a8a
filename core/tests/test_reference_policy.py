"""Which locations a document may point at."""

import pytest
from manifestry.errors import SourceError
from manifestry.references.hosts import without_dots
from manifestry.references.locations import ReferencePolicy
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
