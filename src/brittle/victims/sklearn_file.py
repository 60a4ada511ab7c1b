"""`sklearn:FILE.skops`: a classifier of scikit-learn, as skops keeps it: scores or labels, no gradients."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ..core.access import Access
from ..core.victim import CPU, Victim
from ..data.options import check_options, parse_choice, required_file
from ..errors import InputError
from ..outside import reading
from .layout import as_sent
from .packages import need
from .request import Request

Answers = Literal["decision_function", "predict_proba", "predict"]
ANSWERS: tuple[Answers, ...] = ("decision_function", "predict_proba", "predict")
TINY = 1e-30  # below every probability that is told


@dataclass(frozen=True, eq=False)
class Estimator:
    """x (B, *S), flattened -> (B, C): decision values, logarithms of probabilities, or one-hot predictions.

    One decision value s of two classes becomes (-s/2, s/2).
    """

    model: Any
    classes: Any  # (C,), in the order of the scores
    answers: Answers
    last: bool

    def __call__(self, x: Tensor) -> Tensor:
        rows = as_sent(x.detach().to("cpu", torch.float64), self.last).flatten(1).numpy()
        wanted = getattr(self.model, "n_features_in_", rows.shape[1])
        if rows.shape[1] != wanted:
            raise InputError(
                f"the classifier takes {wanted} features, an input {tuple(x.shape[1:])} has {rows.shape[1]}"
            )
        found = np.asarray(getattr(self.model, self.answers)(rows)) if len(rows) else np.zeros((0, len(self.classes)))
        if self.answers == "predict" and len(rows):
            places = torch.from_numpy(np.searchsorted(self.classes, found))
            return one_hot(places.long(), len(self.classes)).to(x)
        scores = torch.from_numpy(found.astype(np.float64))
        if scores.ndim == 1:
            scores = torch.stack([-scores / 2, scores / 2], 1)
        return (scores.clamp_min(TINY).log() if self.answers == "predict_proba" else scores).to(x)


def open_sklearn(request: Request) -> Victim:
    check_options(request.source, ("answers", "layout", "bounds"))
    options = request.source.options
    path = required_file(request.source, "a .skops file that skops.io.dump wrote")
    model = _read(path, request.trust)
    with reading(f"{path} holds a classifier that does not answer", "fit it anew, and keep it with skops.io.dump"):
        classes = _classes(model, path)
        able = tuple(name for name in ANSWERS if _can(model, name, len(classes)))
    answers = next(name for name in able if name == parse_choice(options, "answers", able, able[0]))
    last = parse_choice(options, "layout", ("nchw", "nhwc"), "nchw") == "nhwc"
    lower, upper = request.bounds
    return Victim(
        Estimator(model, classes, answers, last),
        lower,
        upper,
        request.text,
        hashlib.sha256(path.read_bytes() + f"{answers} {last}".encode()).hexdigest()[:32],
        device=request.device or CPU,
        access=Access.LABELS if answers == "predict" else Access.SCORES,
        classes=tuple(map(str, classes)),
    )


def _read(path: Path, trust: bool) -> Any:
    skops = need("skops.io", "sklearn", "sklearn")
    with reading(f"{path} is no skops file", "load the classifier where it was made, and keep it with skops.io.dump"):
        types = skops.get_untrusted_types(file=path)
    if types and not trust:
        shown = ", ".join(types[:5]) + (f" and {len(types) - 5} more" if len(types) > 5 else "")
        raise InputError(
            f"{path} holds types that skops does not know to be harmless ({shown}); if you trust them add --trust (trust=True)"
        )
    with reading(f"{path} cannot be read", "is it of another version of scikit-learn?"):
        return skops.load(path, trusted=types)


def _classes(model: Any, path: Path) -> Any:
    classes = getattr(model, "classes_", None)
    if not hasattr(model, "predict") or not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) < 2:
        raise InputError(f"{path} holds a {type(model).__name__}, not a fitted classifier of two or more classes")
    if classes.dtype.kind in "iuf" and not np.array_equal(classes, np.arange(len(classes))):
        raise InputError(
            f"{path} knows the classes {', '.join(map(str, classes[:5]))}...; labels count from 0 without gaps: fit it on such labels"
        )
    return classes


def _can(model: Any, name: Answers, count: int) -> bool:
    """Whether it answers so; decision values only where there is one a class (a support vector machine may have one a pair)."""
    if not hasattr(model, name):
        return False
    features = getattr(model, "n_features_in_", None)
    if name != "decision_function" or features is None:
        return True
    shape = np.shape(model.decision_function(np.zeros((2, features))))
    return shape == (2, count) or (count == 2 and shape == (2,))
