"""Processes that make one call on DTensors together."""
