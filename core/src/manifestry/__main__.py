"""``python -m manifestry`` is the command `manifestry`."""

from manifestry.cli import main

main()
