"""Imports run downwards only: the table of docs/architecture.md, held against every import statement of the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import brittle

ROOT = Path(brittle.__file__).parent
FLOORS = [  # from the top; a room may import its own floor and all below
    {"cli", "app"},
    {"report", "diagnosis"},
    {"runs"},
    {"tasks", "victims", "data", "certify"},
    {"attacks", "threats"},
    {"core"},
    {"kernels"},
    {"errors", "outside", "specs", "findings", "files", "pictures", "keywords", "ranges", "user_code"},
]
BESIDE = {"cli": {"app", "testing"}}  # what a room may import besides
NOT_BESIDE = {
    "attacks": {"threats"},
    "threats": {"attacks"},
    "app": {"cli"},
    "report": {"diagnosis"},
    "errors": {"outside", "specs", "files", "pictures", "keywords", "ranges", "user_code"},
}
# attack modules that may import other attacks
COMBINE = {"recipes", "registry", "__init__", "combine", "minimal", "autoattack", "far_walks"}
PARTS = {"directions", "entry", "estimators", "parts", "remedies"}  # attack modules that hold no attack


def _imports(path: Path) -> list[tuple[int, str]]:
    """(line, module path below brittle) of every import of the package by itself, wherever it stands in the file."""
    inside = ("brittle", *path.relative_to(ROOT).with_suffix("").parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            home = inside[: len(inside) - node.level] if node.level else ()
            module = ".".join([*home, *filter(None, [node.module])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(node.lineno, name.removeprefix("brittle.")) for name in names if name.startswith("brittle.")]
    return found


def _floor(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def _forbidden(path: Path) -> list[str]:
    here = path.relative_to(ROOT).with_suffix("").parts
    wrong = []
    for line, name in _imports(path):
        there = name.split(".")
        room, other = here[0], there[0]
        if name == "__version__" or room == other or other in BESIDE.get(room, set()):
            allowed = True
        elif room == "testing":
            allowed = other != "cli"
        elif other == "testing":
            allowed = False
        else:
            allowed = _floor(other) >= _floor(room) and other not in NOT_BESIDE.get(room, set())
        if room == other == "attacks" and PARTS.isdisjoint(there) and not COMBINE & {here[1], here[-1]}:
            allowed = False
        if not allowed:
            wrong.append(f"{'/'.join(here)}.py:{line} imports {name}")
    return wrong


def test_imports_run_downwards_only() -> None:
    files = [
        path
        for path in ROOT.rglob("*.py")
        if path.parent != ROOT
        or path.stem
        in ("errors", "outside", "specs", "findings", "files", "pictures", "keywords", "ranges", "user_code")
    ]
    assert len(files) > 30
    assert [line for path in files for line in _forbidden(path)] == []


def test_every_room_has_a_floor() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"testing"}
    assert rooms <= set().union(*FLOORS)


def test_a_wrong_import_is_seen(tmp_path: Path) -> None:
    """The table would be worth nothing if its reader overlooked relative, late or type-only imports."""
    wrong = {
        "kernels/a.py": "from ..core import goal",
        "core/b.py": "def f():\n    from ..attacks.noise import Noise",
        "attacks/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .noise import Noise",
        "attacks/fixed/c.py": "from ..minimum.ddn import DDN",
        "attacks/d.py": "import brittle.threats.ball",
        "runs/e.py": "from .. import report",
        "tasks/f.py": "from ..testing import linear",
    }
    original, globals()["ROOT"] = ROOT, tmp_path
    try:
        for name, text in wrong.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
            assert len(_forbidden(path)) == 1, name
    finally:
        globals()["ROOT"] = original


def test_kernels_import_tensors_and_nothing_of_brittle_but_each_other() -> None:
    for path in (ROOT / "kernels").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert str(module).split(".")[0] in {"torch", "numpy", "jaxtyping", *sys.stdlib_module_names}


def test_reports_and_stores_start_without_torch() -> None:
    modules = ["brittle", "brittle.report", *(f"brittle.runs.{name}" for name in ("rows", "plan", "identity", "store"))]
    code = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_every_public_name_is_there_once() -> None:
    """The stub is what type checkers see; the package reads it, so that the two cannot differ."""
    for name in brittle.__all__:
        assert getattr(brittle, name) is not None
    lines = ast.parse((ROOT / "__init__.pyi").read_text()).body
    imports = [alias for line in lines if isinstance(line, ast.ImportFrom) for alias in line.names]
    assert all(alias.asname in (None, alias.name) for alias in imports)  # others are not re-exported
    renamed = {line.value.id for line in lines if isinstance(line, ast.Assign) and isinstance(line.value, ast.Name)}
    assert {alias.name for alias in imports if alias.asname is None} == renamed
    assert len(imports) == len(brittle.__all__) == len(set(brittle.__all__))
    assert brittle.cw.__name__ == "CW"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(brittle, "nonsense")  # noqa: B009
