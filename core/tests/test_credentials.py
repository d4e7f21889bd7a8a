"""Credentials in URLs are hidden where they are shown, and are in no output that nobody asked to have them."""

import traceback

import manifestry as mf
import netCDF4
import pytest
from manifestry.credentials import has_credentials, without_credentials
from manifestry.testing.refusing import refuses
from manifestry.testing.servers import range_server

SECRETS = {
    "http://somebody:SECRET@host/a.nc": "http://***@host/a.nc",
    "https://SECRET@host/a.nc": "https://***@host/a.nc",
    "https://host/a.nc?X-Amz-Date=1&X-Amz-Signature=SECRET": "https://host/a.nc?X-Amz-Date=1&X-Amz-Signature=***",
    "https://host/a.nc?x-goog-signature=SECRET&v=2": "https://host/a.nc?x-goog-signature=***&v=2",
    "https://account.blob.core.windows.net/c/a.nc?sv=1&sig=SECRET%3D": (
        "https://account.blob.core.windows.net/c/a.nc?sv=1&sig=***"
    ),
    "s3://id:SECRET@bucket/a.nc": "s3://***@bucket/a.nc",
    "https://host/a.nc?token=SECRET#part": "https://host/a.nc?token=***#part",
}
PLAIN = [
    "http://host/a.nc", "https://host:8080/a.nc?version=3", "s3://bucket/me@home:a.nc", "file:///home/a@b/c:d.nc",
    "abfss://container@account.dfs.core.windows.net/a.nc", "https://host/x/a:b@c.nc", "https://host/?monkey=3",
]  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_they_are_found_and_hidden(url):
    assert has_credentials(url)
    shown = without_credentials(f"before {url} and {url}'s")
    assert shown == f"before {SECRETS[url]} and {SECRETS[url]}'s"


@pytest.mark.parametrize("url", PLAIN)
def test_other_urls_stay_as_they_are(url):
    assert not has_credentials(url)
    assert without_credentials(url) == url


@pytest.fixture
def server(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createDimension("x", 3)
        file.createVariable("v", "f4", ("x",))[:] = [1, 2, 3]
    data = (tmp_path / "a.nc").read_bytes()
    with range_server({"/a.nc": data, "/a.nc?sig=SECRET": data, "/broken.nc?sig=SECRET": b"CDF\1"}) as running:
        yield running


def urls_of(server):
    return [server.url.replace("http://", "http://somebody:SECRET@") + "/a.nc", f"{server.url}/a.nc?sig=SECRET"]


@pytest.mark.parametrize(
    "name", ["missing.nc", "broken.nc", "forbidden.nc", "missing-too.nc?sig=SECRET", "broken.nc?sig=SECRET"]
)
def test_no_error_shows_them(server, cli, name):
    server.statuses["/forbidden.nc"] = 403
    url = f"{server.url}/{name}"
    if "?" not in name:
        url = url.replace("http://", "http://somebody:SECRET@")
    with refuses() as raised:
        mf.parse(url)
    shown = "".join(traceback.format_exception(raised.value))
    assert "SECRET" not in shown + str(raised.value) + repr(raised.value) + repr(mf.Source(url))
    assert "***" in str(raised.value)
    code, out, err = cli("inspect", url)
    assert code
    assert "SECRET" not in out + err


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("output", ["a.json", "a.parq", "a.icechunk"])
def test_no_output_has_them_unless_asked_for(server, tmp_path, which, output):
    url, target = urls_of(server)[which], tmp_path / output
    with pytest.raises(mf.UnsupportedFeatureError, match="credentials in the URL of a source") as raised:
        mf.convert(url, target)
    assert "SECRET" not in str(raised.value)
    assert server.count() == 0
    assert not target.exists()
    tree = mf.parse(url)
    with pytest.raises(mf.UnsupportedFeatureError, match="credentials in the URL of a source"):
        mf.write(tree, target)
    plain = f"{server.url}/a.nc"
    report = mf.convert(url, target, relocate={url: plain}).written
    assert "SECRET" not in report.reader + str(report)
    files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
    assert not any(b"SECRET" in path.read_bytes() for path in files)


@pytest.mark.parametrize("which", [0, 1])
def test_who_asks_for_them_gets_them(server, cli, tmp_path, which):
    url = urls_of(server)[which]
    report = mf.convert(url, tmp_path / "a.json", allow_signed_urls=True)
    assert report.written.references == 1
    assert "SECRET" in (tmp_path / "a.json").read_text()
    mf.write(mf.parse(url), tmp_path / "b.json", allow_signed_urls=True)
    assert cli("convert", url, str(tmp_path / "c.json"), "--allow-signed-urls", "-q")[0] == 0
    assert "SECRET" in (tmp_path / "c.json").read_text()


def test_what_inspect_says_of_a_source_does_not_show_them(server, cli):
    for url in urls_of(server):
        for options in ([], ["--json"], ["--short"], ["--attributes"]):
            code, out, err = cli("inspect", url, *options)
            assert code == 0
            assert "SECRET" not in out + err
