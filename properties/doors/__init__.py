"""The ways in, command, pytest plugin and decorator, and the way out, the reports."""
