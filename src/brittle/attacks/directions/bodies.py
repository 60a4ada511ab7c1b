"""Simple bodies, and what a camera sees of a picture on them: each of its rays cut with a convex body, no mesh."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Body:
    """All points with |p_k| <= half_k for each axis k and with sum_k weight_k p_k^2 <= 1; right, up and towards the viewer.

    canvas: where on the picture a point (..., 3) of the surface lies, right and down in [-1, 1]; elsewhere there is none. distance: of
    the camera from its middle, so that it fills the frame.
    """

    half: tuple[float, float, float]
    weights: tuple[float, float, float]
    canvas: Callable[[Tensor], Tensor]
    distance: float


def flat(point: Tensor) -> Tensor:
    """Seen straight from the front it is not bent at all."""
    return _facing(point, torch.stack([point[..., 0], -point[..., 1]], -1) / 0.98)


def around_a_can(point: Tensor) -> Tensor:
    """The label of a can: 125 degrees of it."""
    across = torch.atan2(point[..., 0], point[..., 2]) / 1.1
    return torch.stack([across, -point[..., 1] / 0.9], -1)


def on_a_ball(point: Tensor) -> Tensor:
    """115 degrees of it, both ways."""
    angles = torch.atan2(point[..., :2], point[..., 2:]) / 1.0
    return torch.stack([angles[..., 0], -angles[..., 1]], -1)


def on_a_cushion(point: Tensor) -> Tensor:
    """As large a square as there is room for."""
    return _facing(point, torch.stack([point[..., 0], -point[..., 1]], -1) * math.sqrt(2))


def _facing(point: Tensor, canvas: Tensor) -> Tensor:
    return torch.where(point[..., 2:] > 0, canvas, 2.0)


FAR = math.inf
BODIES = (
    Body((1.0, 1.0, 0.25), (0.0, 0.0, 0.0), flat, 2.0),  # a box
    Body((FAR, 1.0, FAR), (1.5, 0.0, 1.5), around_a_can, 2.2),
    Body((FAR, FAR, FAR), (1.0, 1.0, 1.0), on_a_ball, 2.0),
    Body((FAR, FAR, FAR), (1.0, 1.0, 8.0), on_a_cushion, 1.7),
)


def turned(elevation: float, azimuth: float, tilt: float) -> Tensor:
    """(3, 3): from the body's axes to the camera's, which went up and around it by these radians and was then tilted."""
    up = torch.tensor(
        [[1, 0, 0], [0, math.cos(elevation), -math.sin(elevation)], [0, math.sin(elevation), math.cos(elevation)]]
    )
    side = torch.tensor(
        [[math.cos(azimuth), 0, -math.sin(azimuth)], [0, 1, 0], [math.sin(azimuth), 0, math.cos(azimuth)]]
    )
    flat_on = torch.tensor([[math.cos(tilt), -math.sin(tilt), 0], [math.sin(tilt), math.cos(tilt), 0], [0, 0, 1]])
    return flat_on @ up @ side


def rays(height: int, width: int, rotation: Tensor, distance: float) -> tuple[Tensor, Tensor]:
    """Where the camera stands (3,) and the way each of its pixels looks (H, W, 3), in the body's axes; the view is 60 degrees wide."""
    down, right = ((2 * torch.arange(side) + 1) / side - 1 for side in (height, width))
    rows, columns = torch.meshgrid(-down, right, indexing="ij")
    reach = math.tan(math.radians(30))
    ways = torch.stack([columns * reach, rows * reach, -torch.ones_like(rows)], -1)
    return torch.tensor([0.0, 0.0, distance]) @ rotation, ways @ rotation


def struck(body: Body, stand: Tensor, ways: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the rays (H, W, 3) first meet the body, the normals there (both (H, W, 3)), and which of them do (H, W) bool."""
    half, weights = torch.tensor(body.half), torch.tensor(body.weights)
    ways = torch.where(ways.abs() < 1e-9, 1e-9, ways)
    ends = torch.stack([(-half - stand) / ways, (half - stand) / ways])
    enter, leave = ends.amin(0), ends.amax(0)  # (H, W, 3): between the two planes of each axis
    a, b, c = (weights * ways * ways).sum(-1), (weights * ways * stand).sum(-1), (weights * stand * stand).sum() - 1
    root = (b * b - a * c).clamp_min(0).sqrt()
    curved = a > 0
    first = torch.where(curved, (-b - root) / a, -FAR)
    last = torch.where(curved, (-b + root) / a, FAR)
    misses = curved & (b * b - a * c < 0)
    enters = torch.cat([enter, first[..., None]], -1)
    at, which = enters.max(-1)
    hit = (at <= torch.minimum(leave.amin(-1), last)) & (at > 0) & ~misses
    point = stand + torch.where(hit, at, 0.0)[..., None] * ways
    plane = torch.nn.functional.one_hot(which.clamp_max(2), 3) * -ways.sign()
    normal = torch.where((which == 3)[..., None], weights * point, plane)
    return point, torch.nn.functional.normalize(normal, dim=-1), hit
