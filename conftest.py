"""What holds for all test suites."""

import compileall
import sys

import pytest
from hypothesis import settings

# No test says how long a machine may take for an example.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")


def pytest_configure(config: pytest.Config) -> None:
    """Compile our modules once: hundreds of processes that tests start would each compile them, which takes half their time.

    Where Python may keep compiled modules it does so by itself; a checkout that cannot be written to stays as it is.
    """
    if sys.dont_write_bytecode and not hasattr(config, "workerinput"):
        for sources in [*config.rootpath.glob("core/src"), *config.rootpath.glob("plugins/*/src")]:
            compileall.compile_dir(sources, quiet=2)
