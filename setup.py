"""Install `protenix_ms` and `ckpt_convert`, and nothing else, into site-packages.

The CPU kernels are compiled now if there is a C++ compiler, else at first use. The name of the
compiled file holds the machine and the hash of the sources, so a wheel may be used elsewhere.
"""

import importlib.util
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

OPS = Path("protenix_ms/ops")


class BuildWithKernels(build_py):
    """Copy the packages, then add the compiled kernels if there is a compiler."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.add_kernels(Path(self.build_lib) / OPS / "compiled")

    def add_kernels(self, folder: Path) -> None:
        path = Path(__file__).resolve().parent / OPS / "compile_kernels.py"
        spec = importlib.util.spec_from_file_location("compile_kernels", path)
        kernels = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernels)
        compiler = kernels.find_compiler()
        if compiler is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        try:
            kernels.compile_library(folder / kernels.library_name(), compiler)
        except kernels.CompileError as error:
            self.warn(f"CPU kernels are left for first use: {error}")


TEST = [
    "pytest>=8", "pytest-xdist>=3", "hypothesis>=6", "jaxtyping>=0.3", "beartype>=0.18",
    "ruff>=0.6", "mypy>=1.11", "matplotlib>=3.8",
    "cafaeval==1.3.0",  # GPL: run as a program, never imported
]
SEARCH = ["pyhmmer>=0.12"]
# The environment in which upstream Protenix runs beside MindSpore (see tests/README.md).
ORACLE = [
    "torch==2.13.0", "biotite==1.4.0", "icecream==2.2.0", "modelcif==1.8", "networkx==3.6.1",
    "optree==0.20.0", "pandas==2.3.3", "pydantic==2.14.3", "PyYAML==6.0.3",
    "scikit-learn==1.9.1", "scipy==1.17.1",
]

setup(
    name="protenix-ms",
    version="0.1.0",
    description="Protenix (AlphaFold3-class structure prediction) on MindSpore: CPU and Ascend",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    cmdclass={"build_py": BuildWithKernels},
    packages=find_packages(include=["protenix_ms*", "ckpt_convert*"]),
    package_data={
        "protenix_ms": ["py.typed", "chem/*.npz", "config/*.xz", "ops/**/csrc/**/*",
                        "predict/demo/*", "predict/demo/known/*", "report/assets/*"],
        "ckpt_convert": ["py.typed"],
    },
    install_requires=[
        "mindspore==2.10.0",
        "numpy>=1.26,<2",  # MindSpore 2.10 does not import under numpy 2
        "gemmi>=0.7",
        "pydantic>=2",
        "rdkit>=2025.3",
        "biopython>=1.83",
        "ml_collections>=1.0",
        "safetensors>=0.4",
        "tqdm>=4.66",
    ],
    extras_require={
        "plot": ["matplotlib>=3.8"],
        "search": SEARCH,
        "cluster": ["ray>=2.40"],
        "test": TEST + ORACLE + SEARCH,
        "tools": ["biotite==1.4.0"],
        "lint": ["ruff>=0.6", "mypy>=1.11", "pre-commit>=3"],
    },
    entry_points={"console_scripts": ["protenix-ms = protenix_ms.cli.main:main"]},
)
