"""A victim by its name and content: what a plan can hold of a model, opened where it is needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..core.bounds import Bounds
from ..core.victim import Victim
from ..errors import InputError
from .open import open_victim, with_output


@dataclass(frozen=True)
class NamedVictim:
    """A VICTIM string, the digest of what it named, and the bounds of its inputs."""

    text: str
    digest: str
    bounds: Bounds

    @classmethod
    def of(
        cls,
        text: str,
        *,
        device: torch.device | str | None = None,
        trust: bool = False,
        bounds: Bounds = (0.0, 1.0),
        output: str | int | None = None,
    ) -> NamedVictim:
        """Opened now, for this process; another process opens it again, and then without trust."""
        text = text if output is None else with_output(text, output)
        victim = open_victim(text, device=device, trust=trust, bounds=bounds)
        named = cls(text, victim.digest, bounds)
        _OPENED[named, str(victim.device)] = victim
        return named

    def opened(self, device: torch.device) -> Victim:
        """The same victim each time. InputError where the string names another than it did."""
        here = (self, str(device))
        if here not in _OPENED:
            victim = open_victim(self.text, device=device, bounds=self.bounds)
            if victim.digest != self.digest:
                raise InputError(
                    f"{self.text} is another model than when this was planned; give its former file, or begin anew with another --out"
                )
            _OPENED[here] = victim
        return _OPENED[here]


_OPENED: dict[tuple[NamedVictim, str], Victim] = {}
