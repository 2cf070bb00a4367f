"""What the mutants of several clauses share."""
