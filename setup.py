"""Builds the native part of wavemae.fused where there is a C compiler, and packs CONTRACT.md.

Without a compiler the package is whole all the same: wavemae.fused then uses torch operators. All
else is in pyproject.toml.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import textwrap
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# CPython's limited API as of 3.10: one binary for it and all later versions. Builds without a
# global lock do not offer it.
LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")

OPTIONS = {
    "msvc": ["/O2", "/std:c11", "/fp:precise"],
    "unix": [
        "-O3",
        "-g0",
        "-std=gnu11",
        "-ffp-contract=off",  # the same bits whether a processor fuses products and sums or not
        "-fno-trapping-math",  # nobody reads the flags of exceptions; values do not change
        "-fvisibility=hidden",
        "-pthread",
    ],
}


class BuildNative(build_ext):
    """Chooses the compiler's options, and says in one line that it goes without."""

    def build_extension(self, ext: Extension) -> None:
        """Compile; whatever fails is no failure of the installation."""
        ext.extra_compile_args += OPTIONS.get(self.compiler.compiler_type, OPTIONS["unix"])
        if os.name == "posix":
            ext.libraries.append("m")  # for fenv.h
        # For those who look for bugs with it, such as `tox run -e sanitize`.
        ext.extra_compile_args += os.environ.get("WAVEMAE_CFLAGS", "").split()
        ext.extra_link_args += os.environ.get("WAVEMAE_CFLAGS", "").split()
        try:
            super().build_extension(ext)
        except Exception as error:
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 100, placeholder=" ...")
            print(
                f"wavemae: built without its native part ({reason}); wavemae.fused will use "
                "torch operators",
                file=sys.stderr,
            )


class BuildPython(build_py):
    """Puts the contract beside the suite, which quotes it; its one source is in the root."""

    def run(self) -> None:
        """Build, then copy; an editable installation reads it where it is."""
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib, "wavemae", "properties")
            self.mkpath(str(folder))
            shutil.copyfile("CONTRACT.md", folder / "CONTRACT.md")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What is built, for those who keep a list of installed files."""
        own = [] if self.editable_mode else [f"{self.build_lib}/wavemae/properties/CONTRACT.md"]
        return [*super().get_outputs(include_bytecode), *own]


setup(
    ext_modules=[
        Extension(
            "wavemae.fused._native",
            sorted(str(file) for file in Path("wavemae/fused/csrc").glob("*.c")),
            depends=sorted(str(file) for file in Path("wavemae/fused/csrc").glob("*.h")),
            define_macros=[("Py_LIMITED_API", "0x030A0000")] if LIMITED else [],
            py_limited_api=LIMITED,
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildNative, "build_py": BuildPython},
    options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED else {},
)
