"""What attacks are called where nobody gave them a name: short, as they would be typed, and never two alike."""

from __future__ import annotations

import pytest

import brittle
from brittle.app.names import names_of
from brittle.attacks import ATTACKS, Cascade, Restarts


@pytest.mark.parametrize("version", ["plus", "rand"])
def test_a_recipe_is_called_by_the_text_that_makes_it(version: str) -> None:
    (name,) = names_of([brittle.autoattack(version)])
    assert name == f"autoattack:version={version}"
    assert brittle.attacks.parse_attack(name) == brittle.autoattack(version)


def test_every_attack_of_the_list_has_a_name_that_makes_it_again() -> None:
    names = [name for name, entry in ATTACKS.items() if entry.given_access is None]
    for name, found in zip(names, names_of([ATTACKS[name].recipe() for name in names]), strict=True):
        assert ATTACKS[found].recipe() == ATTACKS[name].recipe()


def test_an_attack_made_of_attacks_names_them_and_a_long_one_only_their_kinds() -> None:
    assert names_of([Cascade((brittle.pgd(), brittle.fgsm())), Restarts(brittle.ifgsm(steps=3), 2)]) == [
        "Cascade(attacks=(pgd, fgsm))",
        "Restarts(attack=GradientAscent(steps=3), restarts=2)",
    ]
    assert names_of([brittle.autoattack(steps=7)]) == ["ByNorm of APGD, FAB, Square and SparseAPGD"]


def test_different_attacks_are_never_called_alike_and_equal_ones_always_are() -> None:
    seven, eight = brittle.autoattack(steps=7), brittle.autoattack(steps=8)
    one, two, again = names_of([seven, eight, brittle.autoattack(steps=7)])
    assert (two, again) == (f"{one} (2)", one)
    assert names_of(["pgd", "pgd"]) == ["pgd", "pgd"]
