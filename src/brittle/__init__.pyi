"""The public names, each once: `import NAME as NAME`, or `name = NAME` where it goes by another. Editors and type checkers read this,
and so does `__init__.py`."""

from .app.attack import Outcome as Outcome
from .app.attack import attack as attack
from .app.blackbox import blackbox as blackbox
from .app.diagnose import diagnose as diagnose
from .app.evaluate import Report as Report
from .app.evaluate import evaluate as evaluate
from .app.extract import Extraction as Extraction
from .app.extract import extract as extract
from .app.fool import fool as fool
from .app.inspect import Inspection as Inspection
from .app.inspect import inspect as inspect
from .app.mimic import Mimicry as Mimicry
from .app.mimic import mimic as mimic
from .app.patch import patch as patch
from .app.start import transfer_start as transfer_start
from .app.transfer import Matrix as Matrix
from .app.transfer import transfer as transfer
from .app.universal import universal as universal
from .attacks import Bisect as Bisect
from .attacks import ByNorm as ByNorm
from .attacks import Cascade as Cascade
from .attacks import EachMember as EachMember
from .attacks import EachTarget as EachTarget
from .attacks import FarStarts as FarStarts
from .attacks import FarWalks as FarWalks
from .attacks import FewFeatures as FewFeatures
from .attacks import GradientAscent as GradientAscent
from .attacks import IfNear as IfNear
from .attacks import IfStuck as IfStuck
from .attacks import Noise as Noise
from .attacks import OutputDiversified as OutputDiversified
from .attacks import Replay as Replay
from .attacks import Restarts as Restarts
from .attacks import StartFrom as StartFrom
from .attacks import TransferStart as TransferStart
from .attacks import Widening as Widening
from .attacks import WithinRadius as WithinRadius
from .attacks import parse_attack as parse_attack
from .attacks.autoattack import autoattack as autoattack
from .attacks.combine import replay as replay
from .attacks.combine import stick as stick
from .attacks.combine.bisect import bisect_pgd as bisect_pgd
from .attacks.combine.patch import Patch as Patch
from .attacks.decision.binarization_refinement import BinarizationRefinement
from .attacks.decision.boundary import Boundary
from .attacks.decision.cgba import CGBA
from .attacks.decision.geoda import GeoDA
from .attacks.decision.hop_skip_jump import HopSkipJump
from .attacks.decision.hop_skip_jump import qeba as qeba
from .attacks.decision.hop_skip_jump import tangent as tangent
from .attacks.decision.pointwise import Pointwise
from .attacks.decision.random_path import blended_noise as blended_noise
from .attacks.decision.random_path import salt_and_pepper as salt_and_pepper
from .attacks.decision.rays import RayS
from .attacks.decision.sign_opt import SignOPT
from .attacks.decision.signflip import SignFlip
from .attacks.decision.surfree import SurFree
from .attacks.far_walks import far_walks as far_walks
from .attacks.far_walks import relaxation_if_near as relaxation_if_near
from .attacks.far_walks import square_if_near as square_if_near
from .attacks.far_walks import targets_if_near as targets_if_near
from .attacks.far_walks import walk_if_stuck as walk_if_stuck
from .attacks.fixed.adam_pgd import AdamPGD
from .attacks.fixed.constraint_relaxation import ConstraintRelaxation
from .attacks.fixed.input_optimisation import InputOptimisation
from .attacks.fixed.jitter import Jitter
from .attacks.fixed.lbfgsb import LBFGSB
from .attacks.fixed.pgd0 import PGD0
from .attacks.fixed.recipes import acg as acg
from .attacks.fixed.recipes import apgd as apgd
from .attacks.fixed.recipes import apgdt as apgdt
from .attacks.fixed.recipes import compose as compose
from .attacks.fixed.recipes import eotpgd as eotpgd
from .attacks.fixed.recipes import fgsm as fgsm
from .attacks.fixed.recipes import gama_pgd as gama_pgd
from .attacks.fixed.recipes import gaussian_noise as gaussian_noise
from .attacks.fixed.recipes import ifgsm as ifgsm
from .attacks.fixed.recipes import mifgsm as mifgsm
from .attacks.fixed.recipes import mtpgd as mtpgd
from .attacks.fixed.recipes import nifgsm as nifgsm
from .attacks.fixed.recipes import odi_pgd as odi_pgd
from .attacks.fixed.recipes import pgd as pgd
from .attacks.fixed.recipes import pgd_cd as pgd_cd
from .attacks.fixed.recipes import pma as pma
from .attacks.fixed.recipes import reacg as reacg
from .attacks.fixed.recipes import repeated_fgsm as repeated_fgsm
from .attacks.fixed.recipes import stadv as stadv
from .attacks.fixed.recipes import uniform_noise as uniform_noise
from .attacks.fixed.slide import SLIDE
from .attacks.fixed.tpgd import TPGD
from .attacks.minimal import minimal as minimal
from .attacks.minimum.alma import ALMA
from .attacks.minimum.brendel_bethge import BrendelBethge
from .attacks.minimum.carlini_wagner import CW
from .attacks.minimum.ddn import DDN
from .attacks.minimum.deepfool import DeepFool
from .attacks.minimum.ead import EAD
from .attacks.minimum.fab import FAB
from .attacks.minimum.fmn import FMN
from .attacks.minimum.jsma import JSMA
from .attacks.minimum.lbfgs import LBFGS
from .attacks.minimum.newtonfool import NewtonFool
from .attacks.minimum.primal_dual import PDGD, PDPGD
from .attacks.minimum.recipes import cw_l0 as cw_l0
from .attacks.minimum.recipes import fabt as fabt
from .attacks.minimum.sigma_zero import SigmaZero
from .attacks.minimum.sparsefool import SparseFool
from .attacks.minimum.superdeepfool import SuperDeepFool
from .attacks.minimum.trust_region import TrustRegion
from .attacks.minimum.vfga import VFGA
from .attacks.score.genattack import GenAttack
from .attacks.score.grid import GridSearch
from .attacks.score.nattack import NAttack
from .attacks.score.one_pixel import OnePixel
from .attacks.score.parsimonious import Parsimonious
from .attacks.score.patch_rs import FrameRS, PatchRS
from .attacks.score.pixle import Pixle
from .attacks.score.recipes import bandits as bandits
from .attacks.score.recipes import finite_differences as finite_differences
from .attacks.score.recipes import nes as nes
from .attacks.score.recipes import spsa as spsa
from .attacks.score.sign_hunter import SignHunter
from .attacks.score.simba import SimBA
from .attacks.score.sparse_rs import SparseRS
from .attacks.score.square import Square
from .attacks.score.zoo import ZOO
from .core.access import Access as Access
from .core.losses import register_loss as register_loss
from .core.problem import Attack as Attack
from .core.problem import Problem as Problem
from .core.victim import Victim as Victim
from .core.victim import as_victim as as_victim
from .diagnosis.diagnose import Diagnosis as Diagnosis
from .errors import InputError as InputError
from .report.diff import diff as diff
from .report.export import export as export
from .report.shares import samples_needed as samples_needed
from .threats import Mask as Mask
from .threats import blur as blur
from .threats import box as box
from .threats import brightness as brightness
from .threats import composite as composite
from .threats import contrast as contrast
from .threats import flow as flow
from .threats import hue as hue
from .threats import l0 as l0
from .threats import l1 as l1
from .threats import l2 as l2
from .threats import linf as linf
from .threats import parse_threat as parse_threat
from .threats import saturation as saturation
from .threats import spatial as spatial
from .threats import union as union
from .victims.views import Views as Views
from .victims.views import seen_through as seen_through

adam_pgd = AdamPGD
alma = ALMA
binarization_refinement = BinarizationRefinement
boundary = Boundary
brendel_bethge = BrendelBethge
cgba = CGBA
cr = ConstraintRelaxation
cw = CW
ddn = DDN
deepfool = DeepFool
ead = EAD
fab = FAB
fmn = FMN
frame_rs = FrameRS
genattack = GenAttack
geoda = GeoDA
grid_search = GridSearch
hop_skip_jump = HopSkipJump
input_optimisation = InputOptimisation
jitter = Jitter
jsma = JSMA
lbfgs = LBFGS
lbfgsb = LBFGSB
nattack = NAttack
newtonfool = NewtonFool
one_pixel = OnePixel
parsimonious = Parsimonious
patch_rs = PatchRS
pdgd = PDGD
pdpgd = PDPGD
pgd0 = PGD0
pixle = Pixle
pointwise = Pointwise
rays = RayS
sigma_zero = SigmaZero
sign_hunter = SignHunter
sign_opt = SignOPT
signflip = SignFlip
simba = SimBA
slide = SLIDE
sparse_rs = SparseRS
sparsefool = SparseFool
square = Square
superdeepfool = SuperDeepFool
surfree = SurFree
tpgd = TPGD
trust_region = TrustRegion
vfga = VFGA
zoo = ZOO

__version__: str
