"""Classifiers of scikit-learn out of skops files: their own scores or labels, and nothing loaded that was not trusted."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import brittle
from brittle.core.access import Access
from brittle.errors import InputError
from brittle.victims import open_victim

skops = pytest.importorskip("skops.io")

ROWS, LABELS = load_digits(return_X_y=True)
ROWS, LABELS = ROWS[:600] / 16, LABELS[:600]
X = torch.from_numpy(ROWS[:40].reshape(-1, 1, 8, 8)).float()
AS_ROWS = X.flatten(1).double().numpy()


def _victim(model: Any, tmp_path: Path, options: str = "", trust: bool = False, classes: int = 10) -> brittle.Victim:
    wanted = np.isin(LABELS, range(classes))
    with warnings.catch_warnings(action="ignore"):  # it need not converge
        model.fit(ROWS[wanted], LABELS[wanted])
    skops.dump(model, tmp_path / "model.skops")
    return open_victim(f"{tmp_path / 'model.skops'}{options}", trust=trust)


def test_decision_values_are_the_classifiers_own(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=50))
    victim = _victim(model, tmp_path)
    assert (victim.access, victim.classes) == (Access.SCORES, tuple("0123456789"))
    assert float((victim(X) - torch.from_numpy(model.decision_function(AS_ROWS))).abs().max()) <= 1e-4
    assert victim(X[:0]).shape == (0, 10)
    chances = open_victim(f"sklearn:{tmp_path / 'model.skops'}?answers=predict_proba")
    assert float((chances(X).softmax(1) - torch.from_numpy(model.predict_proba(AS_ROWS))).abs().max()) <= 1e-4
    labels = open_victim(f"sklearn:{tmp_path / 'model.skops'}?answers=predict")
    assert labels.access is Access.LABELS
    assert labels(X).argmax(1).tolist() == model.predict(AS_ROWS).tolist()
    assert len({victim.digest, chances.digest, labels.digest}) == 3


@pytest.mark.parametrize(
    ("model", "access"),
    [
        (RandomForestClassifier(5, random_state=0), Access.SCORES),
        (SVC(), Access.SCORES),
        (SVC(decision_function_shape="ovo"), Access.LABELS),  # 45 values for 10 classes are no scores
        (Perceptron(), Access.SCORES),
        (NearestCentroid(), Access.SCORES),
    ],
    ids=str,
)
def test_predictions_are_the_classifiers_own(tmp_path: Path, model: Any, access: Access) -> None:
    victim = _victim(model, tmp_path, trust=True)  # skops warns of the trees of a forest
    assert victim.access is access
    assert victim(X).shape == (40, 10)
    assert victim(X).argmax(1).tolist() == model.predict(AS_ROWS).tolist()


def test_two_classes_have_two_scores(tmp_path: Path) -> None:
    model = LogisticRegression()
    victim = _victim(model, tmp_path, classes=2)
    outputs = victim(X)
    assert (
        float((outputs[:, 1] - outputs[:, 0] - torch.from_numpy(model.decision_function(AS_ROWS))).abs().max()) <= 1e-4
    )


def test_a_forest_falls_to_a_black_box_attack(tmp_path: Path) -> None:
    _victim(RandomForestClassifier(10, random_state=0), tmp_path, trust=True)
    report = brittle.evaluate(
        f"sklearn:{tmp_path / 'model.skops'}", "digits", "linf:0.2", effort="quick", samples=10, grid=[0.2], trust=True,
        progress=False,
    )  # fmt: skip
    assert report.robust_accuracy < report.clean_accuracy


def test_types_that_are_not_known_need_trust(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(np.sqrt), FunctionTransformer(_double), LogisticRegression(max_iter=50))
    with pytest.raises(InputError, match=r"not know to be harmless .*_double.*add --trust"):
        _victim(model, tmp_path)
    victim = open_victim(str(tmp_path / "model.skops"), trust=True)
    assert victim(X).argmax(1).tolist() == model.predict(AS_ROWS).tolist()


def _double(x: Any) -> Any:
    return 2 * x


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "pickle.skops").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    skops.dump(StandardScaler().fit(ROWS), tmp_path / "scaler.skops")
    skops.dump(LogisticRegression().fit(ROWS[:100], LABELS[:100] + 3), tmp_path / "from3.skops")
    for text, sentence in (
        ("pickle.skops", "is no skops file .*keep it with skops.io.dump"),
        ("scaler.skops", "holds a StandardScaler, not a fitted classifier"),
        ("from3.skops", "knows the classes 3, 4, .*labels count from 0"),
        ("nothing.skops", "does not exist"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_victim(f"sklearn:{tmp_path}/{text}", trust=True)
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(InputError, match="takes 64 features, an input .* has 9"):
        _victim(LogisticRegression(), tmp_path)(torch.rand(2, 1, 3, 3))
    with pytest.raises(InputError, match="answers=logits is not accepted; write answers=decision_function or"):
        _victim(LogisticRegression(), tmp_path, "?answers=logits")
