"""Subjects that are programs in any language, asked over pipes."""
