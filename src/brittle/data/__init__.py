"""What a victim is measured on: labelled samples, read by index."""

from .open import known_data, open_data
from .samples import ArraySamples, Samples, as_data

__all__ = ["ArraySamples", "Samples", "as_data", "known_data", "open_data"]
