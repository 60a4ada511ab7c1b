"""Reasons not to believe a number, found by measuring the model itself.

`brittle.diagnose` is this package and a function (`app/diagnose.py`): Python puts an imported package in the place of the function,
so calling the package calls the function.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        return import_module("brittle.app.diagnose").diagnose(*args, **options)


sys.modules[__name__].__class__ = _Room
