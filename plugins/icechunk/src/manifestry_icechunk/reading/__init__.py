"""Virtual references read out of a repository."""
