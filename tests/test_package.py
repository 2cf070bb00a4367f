"""What `import wavemae` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAMES = """
import sys
import wavemae
assert not {"torch", "numpy", "hypothesis", "pytest"} & set(sys.modules), "the import is not light"
assert wavemae.properties.__name__ == "wavemae.properties"
assert "torch" not in sys.modules
assert wavemae.fused.masked_mse.__module__ == "wavemae.fused"
assert wavemae.models.losses.masked_mse is wavemae.masked_mse
assert {"fused", "models", "properties", "masked_mse"} <= set(dir(wavemae))
"""


def test_every_part_is_there_after_a_bare_import() -> None:
    """Subpackages and functions come when they are asked for; until then torch is not loaded."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", NAMES], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_a_name_that_is_not_there_is_an_error() -> None:
    """When it runs, and for mypy: were the ignored error none, `mypy tests` would complain."""
    with pytest.raises(ImportError, match="typo"):
        from wavemae import typo  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="typo"):
        from wavemae.properties import typo  # type: ignore[attr-defined]  # noqa: F401
