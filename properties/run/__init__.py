"""One property on one subject: draw, run, blame, explain; and the ends of processes."""
