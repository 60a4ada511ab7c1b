"""What every test has: annotated shapes checked, one thread, and a skip for tests whose data are not there."""

from __future__ import annotations

import os

import pytest
from jaxtyping import install_import_hook

# The modules that write shapes down. The checks of core are given wrong types on purpose, and answer with a sentence.
_SHAPED = ["brittle.kernels", "brittle.core.goal", "brittle.core.losses"]
install_import_hook(_SHAPED, "beartype.beartype")

import torch  # noqa: E402
from hypothesis import settings  # noqa: E402

torch.set_num_threads(1)
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=40, database=None)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("BRITTLE_DATA"):
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason="the environment variable BRITTLE_DATA is not set"))
