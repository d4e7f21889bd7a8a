"""What tests share. Modules import one another by their own names, as processes do that have none of our packages."""

import sys
from pathlib import Path

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:  # pytest has it there; commands, as ``python -m tests.test_random_views``, do not
    sys.path.append(_HERE)
