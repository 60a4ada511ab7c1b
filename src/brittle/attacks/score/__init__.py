"""Black-box attacks that see the outputs, without gradients."""

from __future__ import annotations

from ..entry import Entry
from . import recipes
from .genattack import GenAttack
from .grid import GridSearch
from .nattack import NAttack
from .one_pixel import OnePixel
from .parsimonious import Parsimonious
from .patch_rs import FrameRS, PatchRS
from .pixle import Pixle
from .sign_hunter import SignHunter
from .simba import SimBA
from .sparse_rs import SparseRS
from .square import Square
from .zoo import ZOO

_COST, _BALLS = "at most queries x F", "linf l2 l1 box"

ATTACKS: dict[str, Entry] = {
    "grid_search": Entry(
        GridSearch,
        "Engstrom 2019, arXiv:1712.02779",
        "at most points ** dimensions x F",
        "spatial brightness contrast saturation hue blur",
    ),
    "square": Entry(Square, "Andriushchenko 2020, arXiv:1912.00049", _COST, _BALLS),
    "sign_hunter": Entry(SignHunter, "Al-Dujaili 2020, arXiv:1902.06894", _COST, "linf l2 box"),
    "simba": Entry(SimBA, "Guo 2019, arXiv:1905.07121", _COST, _BALLS),
    "nes": Entry(recipes.nes, "Ilyas 2018, arXiv:1804.08598", _COST, _BALLS),
    "spsa": Entry(recipes.spsa, "Uesato 2018, arXiv:1802.05666", _COST, _BALLS),
    "finite_differences": Entry(recipes.finite_differences, "Chen 2017, arXiv:1708.03999", _COST, _BALLS),
    "bandits": Entry(recipes.bandits, "Ilyas 2019, arXiv:1807.07978", _COST, _BALLS),
    "sparse_rs": Entry(SparseRS, "Croce 2022, arXiv:2006.12834", _COST, "l0"),
    "patch_rs": Entry(PatchRS, "Croce 2022, arXiv:2006.12834", _COST, "linf box"),
    "frame_rs": Entry(FrameRS, "Croce 2022, arXiv:2006.12834", _COST, "linf box"),
    "one_pixel": Entry(OnePixel, "Su 2019, arXiv:1710.08864", _COST, "l0"),
    "nattack": Entry(NAttack, "Li 2019, arXiv:1905.00441", _COST, _BALLS),
    "parsimonious": Entry(Parsimonious, "Moon 2019, arXiv:1905.06635", _COST, "linf box"),
    "genattack": Entry(GenAttack, "Alzantot 2019, arXiv:1805.11090", _COST, "linf box"),
    "pixle": Entry(Pixle, "Pomponi 2022, arXiv:2202.02236", _COST, "l0"),
    "zoo": Entry(ZOO, "Chen 2017, arXiv:1708.03999", _COST, "l2"),
}
