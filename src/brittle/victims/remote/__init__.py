"""`http:URL`, a model behind an HTTP interface: asked for scores or labels, within a budget, and nothing twice."""

from .asking import Remote
from .journal import OverBudget
from .opening import open_http

__all__ = ["OverBudget", "Remote", "open_http"]
