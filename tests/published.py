"""Networks that others trained, and what is known of them: weights/ beside data/, in the folder that BRITTLE_DATA names."""

from __future__ import annotations

import importlib.util
import json
import os
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn


@cache
def network(name: str) -> nn.Module:
    """The network of that name, which takes images in [0, 1]; evaluating, and the same object for everyone who asks."""
    module: nn.Module = _loader().load(name)[0]
    return module.eval()


@cache
def instances(verdict: str) -> tuple[tuple[str, float, list[int]], ...]:
    """(network, Linf eps, test digits) of the VNN-COMP instances that are settled: "sat" has a counterexample, "unsat" none."""
    groups: dict[tuple[str, float], list[int]] = {}
    for one in json.loads((_folder() / "vnncomp" / "instances.json").read_text()):
        assert one["clipped"]
        if one["final"] == verdict:
            groups.setdefault((one["net"], one["eps"]), []).append(one["test_index"])
    return tuple((name, eps, digits) for (name, eps), digits in groups.items())


@cache
def _loader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("load", _folder() / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _folder() -> Path:
    folder = Path(os.environ["BRITTLE_DATA"]) / "weights"
    if not folder.exists():
        pytest.skip("needs weights/ beside data/")
    return folder
