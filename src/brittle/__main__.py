"""`python -m brittle` is `brittle`."""

from __future__ import annotations


def main() -> None:
    """Entry point; what is imported takes a second, in which Ctrl-C is an interruption too."""
    try:
        from .cli import main as run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":  # worker processes import this file under another name
    main()
