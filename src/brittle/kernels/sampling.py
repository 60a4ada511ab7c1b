"""Random numbers that belong to a sample: a pure function of its key, so neighbours, order and device change nothing.

A counter-based generator: entry j of draw d for key k is a hash of (k, d, j), as in Salmon et al., SC 2011, with the integer hash
"triple32" in place of Philox because torch has no 64-bit product. 23 random bits an entry (float32 then cannot round to 1): fine for
noise and starts, not for cryptography.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Keys = Int[Tensor, " b"]  # int64


def keys_for(seed: int, ids: Keys) -> Keys:
    """One key a sample, from the run's seed and the sample's id."""
    return mix(mix(ids + _signed(0x9E3779B97F4A7C15)) ^ mix(torch.tensor([_signed(seed & _MASK64)], device=ids.device)))


def mix(z: Keys) -> Keys:
    """Finaliser of splitmix64 (Steele et al., OOPSLA 2014): each bit of z changes each bit of the answer."""
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def uniform(keys: Keys, draw: int, count: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "b n"]:
    """(B, count) numbers in the open interval (0, 1)."""
    out = torch.empty(len(keys), count, dtype=dtype, device=keys.device)
    rows = max(1, _BLOCK // max(count, 1)) if keys.device.type == "cpu" else max(len(keys), 1)
    for start in range(0, len(keys), rows):
        out[start : start + rows] = _bits(keys[start : start + rows], draw, count)
    return out.add_(0.5).mul_(2.0**-23)


_BLOCK = 1 << 16  # numbers made at a time on the CPU, so that twenty passes over them stay in its cache


def _bits(keys: Keys, draw: int, count: int) -> Int[Tensor, "b n"]:
    """(B, count) random integers of 23 bits."""
    z = mix(keys + _signed((draw * 0x9E3779B97F4A7C15) & _MASK64))
    low = (z & 0xFFFFFFFF).to(torch.int32)[:, None]
    high = _shift(z, 32).to(torch.int32)[:, None]
    x = torch.arange(count, dtype=torch.int32, device=keys.device) * -1640531527 ^ low
    for shift, factor in ((17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB)):
        x ^= _shift32(x, shift)
        x += high
        x *= _signed32(factor)
    x ^= _shift32(x, 14)
    return _shift32(x, 9)


def normal(keys: Keys, draw: int, count: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "b n"]:
    """(B, count) standard normal numbers, by inversion; 23 bits reach 5.3 standard deviations."""
    return uniform(keys, draw, count, dtype).mul_(2).sub_(1).erfinv_().mul_(2**0.5)


_MASK64 = (1 << 64) - 1


def _shift(z: Tensor, count: int) -> Tensor:
    """Logical shift right; torch's own copies the sign."""
    return (z >> count) & ((1 << (64 - count)) - 1)


def _shift32(x: Tensor, count: int) -> Tensor:
    """Logical shift right of int32. On the CPU through numpy: torch's own shift is not vectorised and takes 50 times as long."""
    if x.device.type == "cpu":
        return torch.from_numpy((x.numpy().view(np.uint32) >> np.uint32(count)).view(np.int32))
    return (x >> count) & ((1 << (32 - count)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _signed32(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
