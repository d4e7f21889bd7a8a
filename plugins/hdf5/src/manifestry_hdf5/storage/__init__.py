"""Where the elements of a dataset lie, as chunk manifests."""
