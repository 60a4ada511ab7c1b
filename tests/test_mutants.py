"""Seeded mistakes: each is put into a copy of the package, and the quick tests named beside it must see it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import brittle

TESTS = Path(__file__).parent
SOURCE = Path(brittle.__file__).parent


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old` becomes `new`; `tests` is a test file, and what `pytest -k` chooses in it."""

    file: str
    old: str
    new: str
    tests: tuple[str, str]


PROJECTIONS = ("test_kernels_projections.py", "many_features or general_solver or nearer or far_points")
ASCENT = ("test_kernels_ascent.py", "limit or exact or (rises and linf)")
BALL = ("test_threats_ball.py", "laws or mask or contains or in_place")
FACTS = "test_attacks_facts.py"
RULES, LOSSES = "test_core_rules.py", "test_core_losses.py"

MUTANTS = {
    "l2 projection ignores its radius": Mutant(
        "kernels/projections.py",
        "torch.clamp(torch.mul(delta, s[:, None], out=kept), low, high)",
        "torch.clamp(delta, low, high)",
        PROJECTIONS,
    ),
    "l2 projection only scales and clips": Mutant(
        "kernels/projections.py", "for _ in range(rounds):", "for _ in range(0):", PROJECTIONS
    ),
    "l1 threshold is off": Mutant(
        "kernels/projections.py", "excess = total - radius", "excess = total - 0.9 * radius", PROJECTIONS
    ),
    "l0 keeps one too many": Mutant(
        "kernels/projections.py", "rank < radius.floor()", "rank <= radius.floor()", PROJECTIONS
    ),
    "l0 ranks by size and not by gain": Mutant(
        "kernels/projections.py", "gain = inside * (2 * delta - inside)", "gain = delta.square()", PROJECTIONS
    ),
    "clamp forgets the upper bound": Mutant(
        "threats/region.py", "return torch.clamp(point, low, high)", "return torch.clamp_min(point, low)", BALL
    ),
    "the radius is not checked": Mutant(
        "threats/region.py",
        "return inside & (self._measured(point, self._surely) <=",
        "return inside | (self._measured(point, self._surely) <",
        BALL,
    ),
    "the mask is ignored": Mutant(
        "threats/ball.py", "    if mask is None:\n        return low, high", "    return low, high", BALL
    ),
    "a meaningless eps is accepted": Mutant(
        "threats/ball.py",
        "if most * (1 + 1e-6) < self.eps < math.inf and len(x):",
        "if False:",
        ("test_core_checks.py", "eps"),
    ),
    "linf steps twice as far": Mutant(
        "kernels/ascent.py", "grad.sign(), wide(step, point)", "grad.sign(), wide(2 * step, point)", ASCENT
    ),
    "l1 steps on a feature at its limit": Mutant(
        "kernels/ascent.py", "torch.where(grad > 0, high - point, point - low)", "(high - low).expand_as(point)", ASCENT
    ),
    "streams of a subset are shared": Mutant(
        "core/streams.py",
        "return Streams(self.keys[rows], self.draws)",
        "return Streams(self.keys[: len(rows)], self.draws)",
        ("test_kernels_sampling.py", "any_batch"),
    ),
    "every draw is the same": Mutant(
        "core/streams.py", "self.draws += 1", "self.draws += 0", ("test_kernels_sampling.py", "any_batch")
    ),
    "the seed is ignored": Mutant(
        "kernels/sampling.py", "_signed(seed & _MASK64)", "0", ("test_kernels_sampling.py", "unrelated or python")
    ),
    "targeted cross entropy has the wrong sign": Mutant(
        "core/losses.py",
        "return loss if goal.aim is None else -loss",
        "return loss",
        (LOSSES, "cross_entropy"),
    ),
    "a slope is not that of its loss": Mutant(
        "core/losses.py", "slope.sum(1, keepdim=True).neg_()", "slope.sum(1, keepdim=True)", (LOSSES, "slope")
    ),
    "the step in place forgets the upper limit": Mutant(
        "threats/region.py", "low, high, out=point)\n\n    def random", "low, out=point)\n\n    def random", BALL
    ),
    "the confidence is ignored": Mutant(
        "core/goal.py", "if self.confidence is None:", "if True:", (LOSSES, "confidence")
    ),
    "a tie is won": Mutant("core/judge.py", "(margin > 0) & feasible", "(margin >= 0) & feasible", (RULES, "boundary")),
    "the judge trusts infeasible points": Mutant(
        "core/judge.py", "(margin > 0) & feasible", "margin > 0", (RULES, "judge")
    ),
    "the attack's own yardstick is used": Mutant(
        "core/trial.py",
        "region = threat.around(x, victim",
        "region = problem.region  # (x, victim",
        (RULES, "writes_into"),
    ),
    "forwards are not charged": Mutant(
        "core/oracle.py", "self.ledger.forward.charge(self.rows, self.networks)", "pass", (RULES, "charged")
    ),
    "backwards are not charged": Mutant(
        "core/oracle.py", "self.ledger.backward.charge(self.rows, self.networks)", "pass", (RULES, "charged")
    ),
    "scores leak a graph": Mutant(
        "core/oracle.py", "if self.access is not Access.GRADIENT:", "if self.access is Access.LABELS:", (RULES, "graph")
    ),
    "best keeps the worst": Mutant(
        "core/incumbent.py", "better = score > self.score\n", "better = ~(score > self.score)\n", (RULES, "incumbent")
    ),
    "momentum does not decay": Mutant(
        "attacks/fixed/gradient_ascent.py", "decay * momentum + grad", "momentum + grad", (FACTS, "momentum")
    ),
    "the stopped sample comes back clean": Mutant(
        "attacks/fixed/gradient_ascent.py", "asked[done]", "problem.x[done]", (FACTS, "repeated_fgsm")
    ),
    "stop ends a sample that is not won": Mutant(
        "attacks/fixed/gradient_ascent.py", "done = margin > 0", "done = margin > -1", (FACTS, "stopping")
    ),
    "restarts draw the same numbers": Mutant(
        "attacks/combine/restarts.py", "forked(run)", "forked(0)", (FACTS, "restarts")
    ),
    "restarts run what is won": Mutant(
        "attacks/combine/restarts.py", "best.score[rows] <= 0", "best.score[rows] < 9e9", (FACTS, "restarts")
    ),
    "weights stay frozen after an attack": Mutant(
        "core/victim.py", "p.requires_grad_(True)", "pass", ("test_core_checks.py", "as_it_went_in")
    ),
    "labels of another length are cut": Mutant(
        "app/attack.py", "check_indices(given, len(x), what)", "pass", ("test_core_checks.py", "too_many or mistake")
    ),
    "wrong samples are attacked": Mutant(
        "tasks/classification.py",
        "rows, others = begun.correct.nonzero()",
        "rows, others = torch.ones_like(begun.correct).nonzero()",
        ("test_core_task.py", "untouched"),
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutant")
    shutil.copytree(SOURCE, root / "brittle", ignore=shutil.ignore_patterns("__pycache__"))
    return root


def _run(copy: Path, files: set[str], chosen: str) -> subprocess.CompletedProcess[str]:
    paths = [str(TESTS / file) for file in sorted(files)]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *paths, "-k", chosen]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=180)


@pytest.mark.slow
def test_the_copy_is_what_is_tested_and_passes_unharmed(copy: Path) -> None:
    code = "import brittle; print(brittle.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(copy)
    files, chosen = zip(*(mutant.tests for mutant in MUTANTS.values()), strict=True)
    run = _run(copy, set(files), " or ".join(sorted(set(chosen))))
    assert run.returncode == 0, run.stdout[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_the_mistake_is_seen(copy: Path, name: str) -> None:
    mutant = MUTANTS[name]
    path = copy / "brittle" / mutant.file
    right = path.read_text()
    assert mutant.old in right, f"the table names text that {mutant.file} no longer has"
    path.write_text(right.replace(mutant.old, mutant.new))
    try:
        run = _run(copy, {mutant.tests[0]}, mutant.tests[1])
    finally:
        path.write_text(right)
    assert run.returncode == 1, run.stdout[-3000:]  # 1: tests ran and failed; any other code is a broken mutant
    assert "error" not in run.stdout.splitlines()[-1]
