"""brittle measures how brittle a machine-learning model is, finds out why, and hardens it.

    outcome = brittle.attack(brittle.pgd(steps=40), module, x, labels, brittle.linf(8 / 255))
    report = brittle.evaluate(module, (x, labels), brittle.linf(8 / 255))

Names are imported when first used, so that parts which need no torch start without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from .app.attack import (
        Outcome,
        attack,
    )
    from .app.evaluate import (
        Report,
        evaluate,
    )
    from .app.fool import fool
    from .app.universal import universal
    from .attacks import (
        Bisect,
        ByNorm,
        Cascade,
        EachTarget,
        FarStarts,
        FewFeatures,
        GradientAscent,
        Noise,
        OutputDiversified,
        Replay,
        Restarts,
        StartFrom,
        Widening,
        parse_attack,
    )
    from .attacks.combine import replay
    from .attacks.combine.bisect import bisect_pgd
    from .attacks.decision.binarization_refinement import BinarizationRefinement as binarization_refinement
    from .attacks.decision.boundary import Boundary as boundary
    from .attacks.decision.cgba import CGBA as cgba
    from .attacks.decision.geoda import GeoDA as geoda
    from .attacks.decision.hop_skip_jump import (
        HopSkipJump as hop_skip_jump,
    )
    from .attacks.decision.hop_skip_jump import (
        qeba,
        tangent,
    )
    from .attacks.decision.pointwise import Pointwise as pointwise
    from .attacks.decision.random_path import (
        blended_noise,
        salt_and_pepper,
    )
    from .attacks.decision.rays import RayS as rays
    from .attacks.decision.sign_opt import SignOPT as sign_opt
    from .attacks.decision.signflip import SignFlip as signflip
    from .attacks.decision.surfree import SurFree as surfree
    from .attacks.fixed.adam_pgd import AdamPGD as adam_pgd
    from .attacks.fixed.constraint_relaxation import ConstraintRelaxation as cr
    from .attacks.fixed.input_optimisation import InputOptimisation as input_optimisation
    from .attacks.fixed.jitter import Jitter as jitter
    from .attacks.fixed.pgd0 import PGD0 as pgd0
    from .attacks.fixed.recipes import (
        acg,
        apgd,
        apgdt,
        eotpgd,
        fgsm,
        gama_pgd,
        gaussian_noise,
        ifgsm,
        mifgsm,
        mtpgd,
        nifgsm,
        odi_pgd,
        pgd,
        pgd_cd,
        pma,
        reacg,
        repeated_fgsm,
        stadv,
        uniform_noise,
    )
    from .attacks.fixed.slide import SLIDE as slide
    from .attacks.fixed.tpgd import TPGD as tpgd
    from .attacks.minimal import minimal
    from .attacks.minimum.alma import ALMA as alma
    from .attacks.minimum.brendel_bethge import BrendelBethge as brendel_bethge
    from .attacks.minimum.carlini_wagner import CW as cw
    from .attacks.minimum.ddn import DDN as ddn
    from .attacks.minimum.deepfool import DeepFool as deepfool
    from .attacks.minimum.ead import EAD as ead
    from .attacks.minimum.fab import FAB as fab
    from .attacks.minimum.fmn import FMN as fmn
    from .attacks.minimum.jsma import JSMA as jsma
    from .attacks.minimum.lbfgs import LBFGS as lbfgs
    from .attacks.minimum.newtonfool import NewtonFool as newtonfool
    from .attacks.minimum.primal_dual import (
        PDGD as pdgd,
    )
    from .attacks.minimum.primal_dual import (
        PDPGD as pdpgd,
    )
    from .attacks.minimum.recipes import (
        cw_l0,
        fabt,
    )
    from .attacks.minimum.sigma_zero import SigmaZero as sigma_zero
    from .attacks.minimum.sparsefool import SparseFool as sparsefool
    from .attacks.minimum.superdeepfool import SuperDeepFool as superdeepfool
    from .attacks.minimum.trust_region import TrustRegion as trust_region
    from .attacks.minimum.vfga import VFGA as vfga
    from .attacks.score.genattack import GenAttack as genattack
    from .attacks.score.grid import GridSearch as grid_search
    from .attacks.score.nattack import NAttack as nattack
    from .attacks.score.one_pixel import OnePixel as one_pixel
    from .attacks.score.parsimonious import Parsimonious as parsimonious
    from .attacks.score.patch_rs import (
        FrameRS as frame_rs,
    )
    from .attacks.score.patch_rs import (
        PatchRS as patch_rs,
    )
    from .attacks.score.pixle import Pixle as pixle
    from .attacks.score.recipes import (
        bandits,
        finite_differences,
        nes,
        spsa,
    )
    from .attacks.score.sign_hunter import SignHunter as sign_hunter
    from .attacks.score.simba import SimBA as simba
    from .attacks.score.sparse_rs import SparseRS as sparse_rs
    from .attacks.score.square import Square as square
    from .attacks.score.zoo import ZOO as zoo
    from .core.losses import register_loss
    from .core.oracle import Access
    from .core.problem import (
        Attack,
        Problem,
    )
    from .core.victim import (
        Victim,
        as_victim,
    )
    from .threats import (
        Mask,
        blur,
        box,
        brightness,
        composite,
        contrast,
        flow,
        hue,
        l0,
        l1,
        l2,
        linf,
        parse_threat,
        saturation,
        spatial,
    )

__version__ = "0.1.0"

_HOMES = {
    "app.attack": (
        "Outcome",
        "attack",
    ),
    "app.evaluate": (
        "Report",
        "evaluate",
    ),
    "app.fool": ("fool",),
    "app.universal": ("universal",),
    "attacks": (
        "Bisect",
        "ByNorm",
        "Cascade",
        "EachTarget",
        "FarStarts",
        "FewFeatures",
        "GradientAscent",
        "Noise",
        "OutputDiversified",
        "Replay",
        "Restarts",
        "StartFrom",
        "Widening",
        "parse_attack",
    ),
    "core.losses": ("register_loss",),
    "core.oracle": ("Access",),
    "core.problem": (
        "Attack",
        "Problem",
    ),
    "core.victim": (
        "Victim",
        "as_victim",
    ),
    "threats": (
        "Mask",
        "blur",
        "box",
        "brightness",
        "composite",
        "contrast",
        "flow",
        "hue",
        "l0",
        "l1",
        "l2",
        "linf",
        "parse_threat",
        "saturation",
        "spatial",
    ),
}
_ATTACKS = (  # the registry's names, each its recipe
    "acg",
    "adam_pgd",
    "alma",
    "apgd",
    "apgdt",
    "bandits",
    "binarization_refinement",
    "bisect_pgd",
    "blended_noise",
    "boundary",
    "brendel_bethge",
    "cgba",
    "cr",
    "cw",
    "cw_l0",
    "ddn",
    "deepfool",
    "ead",
    "eotpgd",
    "fab",
    "fabt",
    "fgsm",
    "finite_differences",
    "fmn",
    "frame_rs",
    "gama_pgd",
    "gaussian_noise",
    "genattack",
    "geoda",
    "grid_search",
    "hop_skip_jump",
    "ifgsm",
    "input_optimisation",
    "jitter",
    "jsma",
    "lbfgs",
    "mifgsm",
    "minimal",
    "mtpgd",
    "nattack",
    "nes",
    "newtonfool",
    "nifgsm",
    "odi_pgd",
    "one_pixel",
    "parsimonious",
    "patch_rs",
    "pdgd",
    "pdpgd",
    "pgd",
    "pgd0",
    "pgd_cd",
    "pixle",
    "pma",
    "pointwise",
    "qeba",
    "rays",
    "reacg",
    "repeated_fgsm",
    "replay",
    "salt_and_pepper",
    "sigma_zero",
    "sign_hunter",
    "sign_opt",
    "signflip",
    "simba",
    "slide",
    "sparse_rs",
    "sparsefool",
    "spsa",
    "square",
    "stadv",
    "superdeepfool",
    "surfree",
    "tangent",
    "tpgd",
    "trust_region",
    "uniform_noise",
    "vfga",
    "zoo",
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Access",
    "Attack",
    "Bisect",
    "ByNorm",
    "Cascade",
    "EachTarget",
    "FarStarts",
    "FewFeatures",
    "GradientAscent",
    "InputError",
    "Mask",
    "Noise",
    "Outcome",
    "OutputDiversified",
    "Problem",
    "Replay",
    "Report",
    "Restarts",
    "StartFrom",
    "Victim",
    "Widening",
    "acg",
    "adam_pgd",
    "alma",
    "apgd",
    "apgdt",
    "as_victim",
    "attack",
    "bandits",
    "binarization_refinement",
    "bisect_pgd",
    "blended_noise",
    "blur",
    "boundary",
    "box",
    "brendel_bethge",
    "brightness",
    "cgba",
    "composite",
    "contrast",
    "cr",
    "cw",
    "cw_l0",
    "ddn",
    "deepfool",
    "ead",
    "eotpgd",
    "evaluate",
    "fab",
    "fabt",
    "fgsm",
    "finite_differences",
    "flow",
    "fmn",
    "fool",
    "frame_rs",
    "gama_pgd",
    "gaussian_noise",
    "genattack",
    "geoda",
    "grid_search",
    "hop_skip_jump",
    "hue",
    "ifgsm",
    "input_optimisation",
    "jitter",
    "jsma",
    "l0",
    "l1",
    "l2",
    "lbfgs",
    "linf",
    "mifgsm",
    "minimal",
    "mtpgd",
    "nattack",
    "nes",
    "newtonfool",
    "nifgsm",
    "odi_pgd",
    "one_pixel",
    "parse_attack",
    "parse_threat",
    "parsimonious",
    "patch_rs",
    "pdgd",
    "pdpgd",
    "pgd",
    "pgd0",
    "pgd_cd",
    "pixle",
    "pma",
    "pointwise",
    "qeba",
    "rays",
    "reacg",
    "register_loss",
    "repeated_fgsm",
    "replay",
    "salt_and_pepper",
    "saturation",
    "sigma_zero",
    "sign_hunter",
    "sign_opt",
    "signflip",
    "simba",
    "slide",
    "sparse_rs",
    "sparsefool",
    "spatial",
    "spsa",
    "square",
    "stadv",
    "superdeepfool",
    "surfree",
    "tangent",
    "tpgd",
    "trust_region",
    "uniform_noise",
    "universal",
    "vfga",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name in _ATTACKS:
        value = import_module(".attacks", __name__).ATTACKS[name].recipe
    elif name in _HOME_OF:
        value = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    else:
        raise AttributeError(f"module 'brittle' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
