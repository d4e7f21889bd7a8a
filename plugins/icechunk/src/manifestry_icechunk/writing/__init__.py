"""Trees on their way into a repository."""
