"""What is fed in: cases and their parts, grids, strategies, bad calls. It knows no other room."""
