"""What is attacked: opening models by name, and training small ones."""

from .open import known_victims, open_victim

__all__ = ["known_victims", "open_victim"]
