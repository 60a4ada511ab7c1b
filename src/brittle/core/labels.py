"""What labels seem to be that are not one class a sample, and what to use for them."""

from __future__ import annotations

import torch
from torch import Tensor


def seem(labels: Tensor, count: int) -> str:
    """In words, for labels of `count` samples that are no class indices (B,); empty where nothing is known of them."""
    whole = not labels.is_floating_point() or bool((labels == labels.floor()).all())
    if labels.is_complex() or labels.shape[:1] != (count,) or not labels.numel():
        return ""
    if labels.ndim > 2:
        return (
            "one class for each position of a sample looks like segmentation, which is not supported yet; attack one position: "
            "labels[:, i, j] and the model as lambda x: model(x)[:, :, i, j]"
        )
    if not whole:
        return (
            "numbers that are not whole look like the target of a regression, which is not supported yet; brittle.mimic moves a model's "
            "outputs towards those for another input, whatever they mean, and for classes give integers 0, 1, 2, ..."
        )
    if labels.ndim == 1:
        return ""
    if labels.shape[1] == 1:
        return "give labels[:, 0].long()"
    if not bool(((labels == 0) | (labels == 1)).all()):
        return (
            "several whole numbers a sample look like a class for each position, as of words, which is not supported yet; attack one "
            "position: labels[:, i] and the model as a callable that returns the logits (B, classes) there"
        )
    if bool((labels.sum(1) == 1).all()):
        return "they look like one-hot labels: give labels.argmax(1)"
    return (
        "rows of 0 and 1 look like several labels a sample (multi-label), which is not supported yet; attack one label: "
        "labels[:, k].long() and the model as lambda x: model(x)[:, k] with output='logit' (output='probability' after a sigmoid)"
    )


def seeming(labels: object, count: int) -> str:
    """`seem` of a tensor or an array, after a semicolon."""
    try:
        said = seem(torch.as_tensor(labels), count)
    except (TypeError, ValueError, RuntimeError):  # no numbers
        said = ""
    return f"; {said}" if said else ""
