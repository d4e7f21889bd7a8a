"""What is still asked of libhdf5, and what has to be looked at before it is asked."""
