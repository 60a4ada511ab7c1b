"""The documentation says what is there."""

from __future__ import annotations

import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

import brittle
from brittle.attacks import ATTACKS

DOCS = Path(__file__).parent.parent / "docs"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("attack_table", DOCS / "attack_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_attacks_is_that_of_the_registry() -> None:
    script = _script()
    assert script.page() == script.PAGE.read_text(), "run `python docs/attack_table.py`"
    for name in ATTACKS:
        assert f"| `{name}` |" in script.table()


def test_every_attack_of_the_list_is_a_function_of_the_package() -> None:
    for name, entry in ATTACKS.items():
        assert getattr(brittle, name) is entry.recipe
        assert name in brittle.__all__


def test_no_module_has_the_name_of_something_public() -> None:
    """Importing it would put the module where the public thing was."""
    rooms = {module.name for module in pkgutil.iter_modules(brittle.__path__)}
    assert not rooms & {*brittle.__all__}
