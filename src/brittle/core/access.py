"""What may be learnt of a model by asking it."""

from __future__ import annotations

from enum import Enum


class Access(Enum):
    """What an attack may learn from a query, or a victim gives."""

    GRADIENT = "gradient"  # outputs and their gradient
    SCORES = "scores"  # outputs
    LABELS = "labels"  # the predicted class, as one-hot outputs

    def gives(self, wanted: Access) -> bool:
        """Whether who gives this much gives all that is wanted."""
        return Access.most(self, wanted) is self

    @classmethod
    def most(cls, *kinds: Access) -> Access:
        """The kind that gives all that these do."""
        return min(kinds, key=list(cls).index)
