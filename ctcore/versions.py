"""Versions of what results depend on."""

from __future__ import annotations

import platform
from importlib import metadata

VERSIONED_PACKAGES = (
    "ct-lesion-pipeline",
    "torch",
    "nnunetv2",
    "dynamic-network-architectures",
    "openvino",
    "timm",
    "SimpleITK",
    "pydicom",
    "numpy",
    "scipy",
    "scikit-image",
    "report-guided-annotation",
    "safetensors",
    "pydantic",
)
"""Packages whose version `run.json` tells."""


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on, without importing them."""
    found = {"python": platform.python_version()}
    for name in VERSIONED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
