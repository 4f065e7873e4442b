"""The compiled core, which is optional: without a C compiler the package runs on NumPy."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

HERE = Path("river_attention/compiled")

core = Extension(
    "river_attention.compiled._core",
    sources=[str(HERE / "_core.pyx"), *(str(path) for path in sorted(HERE.glob("src/*.c")))],
    depends=[str(path) for path in sorted(HERE.glob("src/*.h"))],
    include_dirs=[str(HERE)],
    extra_compile_args=["-O3", "-fno-math-errno", "-Wno-psabi", "-Wno-unused-function"],
    optional=True,
)

setup(ext_modules=cythonize([core], build_dir="build"))
