"""DMR++ parser."""
