"""The clauses of CONTRACT.md: what must hold, as properties; cNN_ is the file of clause NN."""
