"""Repositories: where they lie, how they are opened, locked and configured."""
