#!/usr/bin/env python3
"""`wavemae` run from a checkout, for pre-commit: nothing has to be installed, torch least of all."""

import sys
from pathlib import Path

sys.path[0] = str(
    Path(__file__).resolve().parents[2]
)  # not this folder, which a script begins with

from wavemae.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
