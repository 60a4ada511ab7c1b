"""Writes the table of attacks into docs/attacks.md, between its two marks: `python docs/attack_table.py`; `make format` does it too."""

from __future__ import annotations

from pathlib import Path

from brittle.attacks.entry import Entry
from brittle.attacks.registry import FAMILIES

PAGE = Path(__file__).parent / "attacks.md"
BEGIN, END = "<!-- attacks begin -->\n", "<!-- attacks end -->\n"


def table() -> str:
    """A section a family, a row an attack."""
    lines: list[str] = []
    for heading, entries in FAMILIES.items():
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
    what = entry.about.replace("|", "&#124;")
    return f"| `{name}` | {what} | {entry.norms.replace(' ', ', ')} | {entry.cost} | {entry.paper} |"


def page() -> str:
    """The whole page with the table of today."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page())
