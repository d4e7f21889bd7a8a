"""From an image to a virtual array: compression, predictors, chunks, fill."""
