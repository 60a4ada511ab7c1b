"""Packages that only some victims need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import InputError


def need(package: str, scheme: str, extra: str) -> ModuleType:
    """The imported package. InputError with the install command where it is missing, or cannot be imported."""
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{scheme}: needs the package {error.name}, which is not installed; pip install 'brittle[{extra}]'"
        ) from None
    except Exception as error:  # a package may raise anything when another that it needs has the wrong version
        if "torchvision::" in str(error):
            raise InputError(
                f"{scheme}: needs torchvision, which was not built for the torch that is installed ({error}); install both from one "
                "index, as pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu"
            ) from error
        raise InputError(
            f"{scheme}: needs the package {package}, which cannot be imported ({type(error).__name__}: {error}); "
            f"pip install --upgrade 'brittle[{extra}]'"
        ) from error
