"""What is right: exact arithmetic, and the comparisons with it."""
