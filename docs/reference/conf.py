"""Sphinx: the reference of the Python API, made from the docstrings by `tox run -e docs`.

Sphinx, since the docstrings use its roles and tables, and since it can be strict: a name that leads
nowhere, and whatever else it complains of, is an error.
"""

from __future__ import annotations

import wavemae

project = "wavemae"
author = "the wavemae developers"
version = release = wavemae.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "alabaster"
html_sidebars = {"**": ["about.html", "localtoc.html", "searchfield.html"]}
html_show_copyright = False
html_copy_source = False
nitpicky = True
nitpick_ignore_regex = [
    # Others' names are not looked up, since that takes a network.
    (r"py:.*", r"(torch|Tensor|numpy|collections|hypothesis|SearchStrategy)\b.*"),
    # Of doors/baseline.py, which is no public name.
    (r"py:class", r"Comparison"),
    # What a finding carries for the suite itself.
    (r"py:class", r"wavemae\.properties\.judge\..*"),
    # A default made by a factory is no Python, and Sphinx then splits the types at their commas.
    (r"py:class", r"tuple\[\w+"),
]
autodoc_mock_imports = ["triton"]  # which is only where there is CUDA
default_role = "code"  # a word in single backticks is code, as in Markdown
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True  # as they are written in the source
napoleon_numpy_docstring = False
