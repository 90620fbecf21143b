"""HTTP's side of a request and its answer, as values."""
