"""The command line. Every command imports what it needs when it runs, so that help and reports start fast."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Entry point; `Exit` has what its exit codes say. What is imported takes a second, in which Ctrl-C is an interruption too."""
    try:
        from .main import main as run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
