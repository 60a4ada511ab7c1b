"""RayS, Sign-OPT, SurFree and CGBA: attacks that see only the predicted class."""

from __future__ import annotations

import brittle
from brittle.attacks.decision.rays import RayS
from brittle.testing import assert_conforms


def test_they_conform() -> None:
    assert_conforms(RayS(), [brittle.linf(0.1)], 1.25)
