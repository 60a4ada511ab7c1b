"""The command line. Every command imports what it needs when it runs, so that help and reports start fast."""

from .main import main

__all__ = ["main"]
