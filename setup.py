"""The compiled core, which is optional: without a C compiler the package runs on NumPy."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path("river_attention/compiled")

core = Extension(
    "river_attention.compiled._core",
    sources=[str(HERE / "_core.pyx"), *(str(path) for path in sorted(HERE.glob("src/*.c")))],
    depends=[str(path) for path in sorted([*HERE.glob("src/*.h"), *HERE.glob("*.pxi")])],
    include_dirs=[str(HERE)],
    optional=True,
)


ARGUMENTS = {
    "unix": ["-O3", "-g0", "-fno-math-errno", "-Wno-psabi", "-Wno-unused-function"],
    "msvc": ["/O2", "/wd4244", "/wd4267"],
}


class OptionalBuild(build_ext):
    """Goes on where an extension cannot be built: `optional` alone forgives no missing compiler."""

    def build_extension(self, ext: Extension) -> None:
        ext.extra_compile_args = ARGUMENTS.get(self.compiler.compiler_type, ARGUMENTS["unix"])
        try:
            super().build_extension(ext)
        except Exception as error:  # of any compiler, whatever it raises
            self.warn(f"the compiled core was not built, the package will run on NumPy: {error}")


setup(ext_modules=cythonize([core], build_dir="build"), cmdclass={"build_ext": OptionalBuild})
