"""The documentation says what is there."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import shlex
from pathlib import Path
from types import ModuleType

import typer

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


def _documented() -> list[tuple[str, str]]:
    """(page, command) of every line of README and docs that calls the command line, comments and continuations taken off."""
    found = []
    for page in (DOCS.parent / "README.md", *sorted(DOCS.rglob("*.md"))):
        for block in re.findall(r"```[a-z]*\n(.*?)```", page.read_text(encoding="utf-8"), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("brittle ") and " ... " not in line:
                    found.append((page.name, re.split(r" #| > ", line)[0].strip()))
    return found


def test_every_command_of_the_docs_is_one_that_the_command_line_takes() -> None:
    command = typer.main.get_command(importlib.import_module("brittle.cli.main").app)
    wrong = []
    for page, line in _documented():
        name, *arguments = shlex.split(line)[1:]
        try:
            command.get_command(None, name).make_context(name, arguments)  # parses, and runs nothing
        except Exception as error:  # of the parser, whichever it is
            wrong.append(f"{page}: {line}: {error}")
    assert not wrong, "\n".join(wrong)
    assert len(_documented()) > 40
