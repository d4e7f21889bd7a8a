"""Tests that expect a refusal do not take the crash of a plugin for one."""

import re
from pathlib import Path

import manifestry as mf
import pytest
from manifestry.testing.refusing import refusal, refuses

ROOT = Path(__file__).parent.parent
LOOSE = re.compile(r"(pytest\.raises|suppress)\(\(?(\w+\.)?ManifestryError\b")


def test_a_crash_is_no_refusal():
    with refuses(match="cut short") as caught:
        raise mf.MalformedFileError("the file is cut short")
    assert isinstance(caught.value, mf.MalformedFileError)
    with refuses(mf.SourceError, mf.MalformedFileError):
        raise mf.SourceError("gone")
    with refusal():
        raise mf.SourceError("gone")
    for expecting in (refuses(), refuses(mf.ManifestryError, match="x"), refusal()):
        with pytest.raises(pytest.fail.Exception, match="a plugin crashed"), expecting:
            raise mf.PluginError("x")
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"), refuses():
        pass


def test_no_test_is_content_with_any_error():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("core/tests", "tests", *(f"plugins/{p.name}/tests" for p in (ROOT / "plugins").iterdir()))
        for path in (ROOT / folder).glob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if LOOSE.search(line)
    ]
    assert found == [], "use refuses or refusal of manifestry.testing.refusing"
