"""The public conformance suite: the laws that an attack or a threat keeps, ours or yours.

    from brittle.testing import assert_conforms

    def test_my_attack_keeps_the_laws():
        assert_conforms(MyAttack(steps=10))

`check_attack(MyAttack())` and `check_region(my_threat)` give the findings one by one; `brittle check
mypackage:MyAttack` prints them. `linear` makes victims whose nearest adversarial example is known, `references` holds
slow and plain versions of the kernels.
"""

from .conformance import assert_conforms, check_attack
from .findings import Finding
from .regions import check_region
from .victims import LinearVictim, linear, network

__all__ = ["Finding", "LinearVictim", "assert_conforms", "check_attack", "check_region", "linear", "network"]
