"""Pictures of faces as recognisers take them: of one size, the eyes always at the same two places."""

from __future__ import annotations

from PIL import Image

from ...core.victim import Victim
from ...data.downloads import find
from ...data.open import open_data
from ...data.samples import Samples
from ...errors import InputError

FACES = "faces"
EYES = (
    (0.3419, 0.4616),
    (0.6565, 0.4602),
)  # across and down, of faces aligned as ArcFace takes them, Deng et al. 2019, arXiv:1801.07698

Eyes = tuple[tuple[float, float], tuple[float, float]]


def aligned(picture: Image.Image, eyes: Eyes, side: int = 112, places: Eyes = EYES) -> Image.Image:
    """The face, turned, scaled and moved until its eyes lie where a recogniser wants them: RGB, side x side pixels.

    eyes: the middles of the two, (across, down) in pixels from the picture's top left corner, in any order. places: where they go, as
    shares of the side, the one on the picture's left first; by default those of ArcFace. What lies beyond the picture's edge is black.
    Two points, unlike five, say nothing of a face seen from the side: give faces that look at the camera. Raises InputError for one point.
    """
    left, right = (complex(*eye) for eye in sorted(eyes))
    first, second = (complex(*place) * side for place in places)
    if left == right:
        raise InputError(f"eyes={eyes} are one point; give the middle of each eye, in pixels")
    turn = (right - left) / (second - first)  # of a step in the aligned face, to one in the picture
    shrink = max(1, int(abs(turn)))
    origin, turn = (left - turn * first) / shrink, turn / shrink
    coefficients = (turn.real, -turn.imag, origin.real, turn.imag, turn.real, origin.imag)
    small = picture.convert("RGB").reduce(shrink)  # which averages; the transform does not
    return small.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)


def faces(victim: Victim) -> Samples:
    """The data set "faces", of the victim's size. InputError where it is not there, or the faces are not aligned to that size."""
    found = find(FACES, "*/*.png") or find(FACES, "*/*.jpg")
    if not found:
        raise InputError(
            f"the faces are in no folder {FACES} of $BRITTLE_DATA; put a folder for each person there, of aligned faces"
        )
    grey = "?grey=1" if victim.shape[:1] == (1,) else ""
    samples = open_data(f"images:{found[0].parent.parent}{grey}")
    if victim.shape and samples.shape != victim.shape:
        got, wanted = ("x".join(map(str, shape[1:])) for shape in (samples.shape, victim.shape))
        raise InputError(
            f"the faces are {got}, {victim.name} takes {wanted}; "
            "align them to that size as it was trained, by brittle.app.show.faces.aligned for one"
        )
    return samples
