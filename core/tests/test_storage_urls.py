"""Canonical URLs, encoding, joining."""

import os
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from manifestry.errors import SourceError, one_line
from manifestry.storage.urls import canonical_url, is_url, join_url, local_path, split_url

ODD = [
    "with space",
    "a#b",
    "100%25",
    "what?",
    "größe 世界",
    "back\\slash",
    "new\nline",
    "tab\t",
    "{{x}}",
    "a&b=c+d;e",
    "'\"",
    "*",
]


@pytest.mark.parametrize("name", [*ODD, "~", "~root", "a:b", "trailing ", "..."])
def test_paths_keep_every_character(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"x")
    url = canonical_url(path)
    assert url == f"file://{path}"
    assert canonical_url(str(path)) == canonical_url(os.fsencode(path)) == url
    assert local_path(url).read_bytes() == b"x"


@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1))
def test_any_name_is_a_path_of_its_own(name):
    if name in (".", ".."):
        return
    url = canonical_url(f"/data/{name}")
    assert url == f"file:///data/{name}"
    assert str(local_path(url)) == f"/data/{name}"


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert canonical_url("a.nc") == f"file://{tmp_path}/a.nc"
    assert canonical_url("./x/../a.nc/") == f"file://{tmp_path}/a.nc"
    assert canonical_url("~/a.nc") == "file:///home/someone/a.nc"
    Path("~").mkdir()
    assert canonical_url("~/a.nc") == "file:///home/someone/a.nc"
    Path("~/a.nc").touch()
    assert canonical_url("~/a.nc") == f"file://{tmp_path}/~/a.nc"
    assert canonical_url("//double//slash") == "file:///double/slash"
    assert canonical_url("/") == "file:///"


def test_file_urls_are_decoded_unless_the_undecoded_name_exists(tmp_path):
    assert canonical_url("file:///a%20b%23.nc") == "file:///a b#.nc"
    assert canonical_url("file://localhost/a.nc") == "file:///a.nc"
    assert canonical_url("FILE:///a.nc") == "file:///a.nc"
    (tmp_path / "100%25.nc").touch()
    assert canonical_url(f"file://{tmp_path}/100%25.nc") == f"file://{tmp_path}/100%25.nc"
    (tmp_path / "100%25.nc").unlink()
    assert canonical_url(f"file://{tmp_path}/100%25.nc") == f"file://{tmp_path}/100%.nc"


@pytest.mark.parametrize(
    ("given_url", "canonical"),
    [
        ("s3://bucket/a b#c%20?.nc", "s3://bucket/a b#c%20?.nc"),
        ("S3A://bucket/a", "s3://bucket/a"),
        ("gcs://bucket/a", "gs://bucket/a"),
        ("abfs://container/a", "az://container/a"),
        ("https://host/a%20b?x=%2F&y", "https://host/a%20b?x=%2F&y"),
        ("memory://anything/a", "memory://anything/a"),
    ],
)
def test_remote_urls_are_verbatim(given_url, canonical):
    assert canonical_url(given_url) == canonical


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/a", "no store for ftp:// URLs"),
        ("file://host/a", "three slashes"),
        ("a\0b", "NUL"),
        ("bad\n://x", "no store|NUL|^$"),
    ],
)
def test_urls_that_are_none(url, message):
    if "\n" in url:
        assert not is_url(url)
        return
    with pytest.raises(SourceError, match=message) as caught:
        canonical_url(url)
    assert "\n" not in str(caught.value)


def test_split():
    assert split_url("s3://bucket/a/b c") == ("s3://bucket", "a/b c")
    assert split_url("file:///a/b") == ("file://", "a/b")
    assert split_url("https://host:1/x?y=/z") == ("https://host:1", "x?y=/z")
    with pytest.raises(SourceError):
        split_url("/a")


@pytest.mark.parametrize(
    ("base", "relative", "joined"),
    [
        ("file:///d/doc.json", "a b.nc", "file:///d/a b.nc"),
        ("file:///d/e/doc.json", "../a#.nc", "file:///d/a#.nc"),
        ("file:///d/doc.json", "/abs/a.nc", "file:///abs/a.nc"),
        ("file:///doc.json", "../../a.nc", "file:///a.nc"),
        ("s3://b/d/doc.json", "./a.nc", "s3://b/d/a.nc"),
        ("s3://b/doc.json", "a.nc", "s3://b/a.nc"),
        ("s3://b/d/doc.json", "gcs://c/x", "gs://c/x"),
        ("https://h/d/doc.json?token=a/b", "a.nc", "https://h/d/a.nc"),
        ("https://h/d/doc.json", "/root.nc", "https://h/root.nc"),
    ],
)
def test_join(base, relative, joined):
    assert join_url(base, relative) == joined


def test_messages_are_one_line():
    assert one_line("a\nb\x7f ü") == "a\\nb\\x7f ü"
