"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ..errors import InputError

Subject = TypeVar("Subject")


class Broken(Exception):
    """Raised inside a check: the law does not hold, and this sentence says how."""


@dataclass(frozen=True)
class Finding:
    """One law, for one threat: whether it holds, and the sentence that says what was seen."""

    name: str
    passed: bool
    sentence: str


def run_checks(checks: Mapping[str, Callable[[Subject], None]], subject: Subject, where: str) -> list[Finding]:
    """One finding a check. An exception of any kind is a finding too: a stranger's code is being run."""
    findings = []
    for law, check in checks.items():
        name = f"{where}: {law}"
        try:
            check(subject)
        except Broken as broken:
            findings.append(Finding(name, False, str(broken)))
        except Exception as error:
            findings.append(Finding(name, False, _raised(error)))
        else:
            findings.append(Finding(name, True, "holds"))
    return findings


def _raised(error: Exception) -> str:
    return str(error) if isinstance(error, InputError) else f"raised {type(error).__name__}: {error}"
