"""Black-box attacks that see only the predicted class."""

from __future__ import annotations

from ..entry import Entry
from .binarization_refinement import BinarizationRefinement
from .boundary import Boundary
from .cgba import CGBA
from .geoda import GeoDA
from .hop_skip_jump import HopSkipJump, qeba, tangent
from .pointwise import Pointwise
from .random_path import blended_noise, salt_and_pepper
from .rays import RayS
from .sign_opt import SignOPT
from .signflip import SignFlip
from .surfree import SurFree

ATTACKS: dict[str, Entry] = {
    "boundary": Entry(Boundary, "Brendel 2018, arXiv:1712.04248", "at most queries x F", norms="l2"),
    "geoda": Entry(GeoDA, "Rahmati 2020, arXiv:2003.06468", "at most queries x F", norms="linf l2 l1"),
    "hop_skip_jump": Entry(HopSkipJump, "Chen 2020, arXiv:1904.02144", "at most queries x F", norms="linf l2"),
    "qeba": Entry(qeba, "Li 2020, arXiv:2005.14137", "at most queries x F", norms="linf l2"),
    "cgba": Entry(CGBA, "Reza 2023, arXiv:2308.03163", "at most queries x F", norms="l2"),
    "rays": Entry(RayS, "Chen 2020, arXiv:2006.12792", "at most queries x F", norms="linf box"),
    "sign_opt": Entry(SignOPT, "Cheng 2020, arXiv:1909.10773", "at most queries x F", norms="linf box l2"),
    "surfree": Entry(SurFree, "Maho 2021, arXiv:2011.12807", "at most queries x F", norms="l2"),
    "tangent": Entry(tangent, "Ma 2021, arXiv:2111.07492", "at most queries x F", norms="l2"),
    "signflip": Entry(SignFlip, "Chen 2020, ECCV", "at most queries x F", norms="linf"),
    "pointwise": Entry(Pointwise, "Schott 2019, arXiv:1805.09190", "at most queries x F", norms="l0"),
    "binarization_refinement": Entry(
        BinarizationRefinement, "Rauber 2017, arXiv:1707.04131", "at most (starts + 3) x F", norms="linf l2 l1 l0 box"
    ),
    "blended_noise": Entry(
        blended_noise, "Rauber 2020, Foolbox", "at most queries x F", norms="linf l2 l1 box", role="noise"
    ),
    "salt_and_pepper": Entry(
        salt_and_pepper, "Rauber 2020, Foolbox", "at most queries x F", norms="l2 l1 l0", role="noise"
    ),
}
