"""The pages' templates, filled: one way for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import jinja2


def source(name: str) -> str:
    """A file of this room as it is."""
    return (resources.files("brittle.report") / name).read_text(encoding="utf-8")


def filled(name: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """The template of that name in this room with its values: escaped, and a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brittle", "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name).render(**values)
