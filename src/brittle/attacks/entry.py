"""What the list of attacks says of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from ..core.access import Access
from ..core.problem import Attack
from ..keywords import naming


@dataclass(frozen=True)
class Entry:
    """A recipe, a function or class whose call gives an attack, and what a list says of it.

    cost: per sample, in forwards F, backwards B and the options, such as `steps x (F + B) + F`, with `at most` in front where
    a sample may leave early; tests/test_costs.py holds it against the ledger. norms: the threats that it takes. role: `noise` for baselines
    that look at no gradient and no score. given_access: that of the attack, where the recipe cannot be called without options.
    """

    recipe: Callable[..., Attack]
    paper: str
    cost: str
    norms: str = "linf l2 l1 l0 box"
    role: str = "attack"
    given_access: Access | None = None

    @property
    def about(self) -> str:
        """What it does: the first paragraph of its documentation up to the cost, without the full stop."""
        paragraph = (inspect.getdoc(self.recipe) or "").split("\n\n")[0]
        return paragraph.replace("\n", " ").partition(" Cost: ")[0].rstrip(".")

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipe", naming(self.recipe))

    @property
    def access(self) -> Access:
        """What the attack asks of the victim."""
        return self.recipe().access if self.given_access is None else self.given_access
