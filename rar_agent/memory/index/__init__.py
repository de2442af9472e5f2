"""Search over the vectors of one file: exact, or by an approximate index file beside them."""
