"""Trees into one: `concat`, `stack` and `merge`, on the columns of the model."""
