"""Installation: only `protenix_ms` and `ckpt_convert` reach site-packages."""

from pathlib import Path

from setuptools import find_packages, setup

TEST = [
    "pytest>=8", "hypothesis>=6", "jaxtyping>=0.3", "beartype>=0.18", "ruff>=0.6",
    "matplotlib>=3.8",
]
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
    packages=find_packages(include=["protenix_ms*", "ckpt_convert*"]),
    package_data={"protenix_ms": ["chem/*.npz", "ops/**/csrc/**/*"]},
    install_requires=[
        "mindspore==2.10.0",
        "numpy>=1.26,<2",  # MindSpore 2.10 does not import under numpy 2
        "gemmi>=0.7",
        "rdkit>=2025.3",
        "biopython>=1.83",
        "ml_collections>=1.0",
        "absl-py>=2.0",
        "safetensors>=0.4",
        "tqdm>=4.66",
    ],
    extras_require={
        "plot": ["matplotlib>=3.8"],
        "test": TEST + ORACLE,
        "tools": ["biotite==1.4.0"],
    },
    entry_points={"console_scripts": ["protenix-ms = protenix_ms.cli.main:main"]},
)
