"""What every parser and every writer must keep, as test classes to subclass.

Name the subclass ``Test…``, say which format it tests and give the files or the reader; pytest does the rest::

    class TestGrib(ParserTests):
        format = "grib"

        def make_cases(self, directory):
            path = directory / "a.grib2"
            path.write_bytes(...)
            yield ParserCase(path, {"t": np.array(...)})

        def make_pointers(self, directory, url):
            return ()  # no GRIB file names another file


    class TestCatalog(WriterTests):
        format = "catalog"
        ending = ".catalog"

        def read(self, target):
            return {path: Found(values, attributes) for path, values, attributes in ...}

For plain ``assert`` messages in these classes, ``pytest.register_assert_rewrite("manifestry.testing")`` in a conftest.
"""

from manifestry.testing.comparing import assert_identical
from manifestry.testing.parser_tests import ParserCase, ParserTests
from manifestry.testing.refusing import refuses
from manifestry.testing.stranger_tests import Pointer
from manifestry.testing.writer_tests import Found, WriterTests

__all__ = ["Found", "ParserCase", "ParserTests", "Pointer", "WriterTests", "assert_identical", "refuses"]
