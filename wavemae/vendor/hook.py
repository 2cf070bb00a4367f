#!/usr/bin/env python3
"""`wavemae` run from a checkout, for pre-commit: nothing is installed, torch least of all."""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # a script begins with its own folder
    runpy.run_module("wavemae", run_name="__main__")
