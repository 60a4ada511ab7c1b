"""`http:URL`, a model behind an HTTP interface: asked for scores or labels, within a budget, and nothing twice."""

from .opening import open_http

__all__ = ["open_http"]
