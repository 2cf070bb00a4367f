"""Options of the suite's own tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--seeds N`: how many seeds the definition and the variants are tried under."""
    parser.addoption("--seeds", type=int, default=1, help="seeds for test_variants.py")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Seeds 0 to N − 1 for the tests that take one."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--seeds")))
