"""Writes the table of attacks into docs/attacks.md, between its two marks: `python docs/attack_table.py`; `make format` does it too."""

from __future__ import annotations

import inspect
from pathlib import Path

from brittle.attacks import registry
from brittle.attacks.entry import Entry

PAGE = Path(__file__).parent / "attacks.md"
BEGIN, END = "<!-- attacks begin -->\n", "<!-- attacks end -->\n"
HEADINGS = {
    "fixed": "Fixed budget, with gradients",
    "minimum": "Minimum norm, with gradients",
    "score": "Score-based: outputs, no gradients",
    "decision": "Decision-based: labels alone",
    "combine": "Made of attacks",
}


def table() -> str:
    """A section a family, a row an attack."""
    lines: list[str] = []
    for family, heading in HEADINGS.items():
        entries = getattr(registry, family).ATTACKS
        if family == "minimum":
            entries = {"minimal": registry.ATTACKS["minimal"]} | entries
        lines += [
            f"### {heading}",
            "",
            "| name | what it does | threats | cost a sample | paper |",
            "|---|---|---|---|---|",
        ]
        lines += [_row(name, entry) for name, entry in entries.items()]
        lines.append("")
    return "\n".join(lines)


def _row(name: str, entry: Entry) -> str:
    what = (inspect.getdoc(entry.recipe) or "").split("\n\n")[0].replace("\n", " ").rstrip(".").replace("|", "&#124;")
    return f"| `{name}` | {what} | {entry.norms.replace(' ', ', ')} | {entry.cost} | {entry.paper} |"


def page() -> str:
    """The whole page with the table of today."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page())
