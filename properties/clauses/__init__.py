"""The clauses of CONTRACT.md, one file each: what must hold, as properties."""
