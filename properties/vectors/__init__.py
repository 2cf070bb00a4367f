"""The pinned vectors, as JSON, and what makes them."""
