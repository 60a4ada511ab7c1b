"""How a question is put into JSON and an answer taken out of it: our own schema, and the Open Inference Protocol (KServe v2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeGuard

import numpy as np

from ...errors import printable

Rows = np.ndarray[Any, np.dtype[np.float32]]
Kind = Literal["scores", "labels"]


class Garbage(ValueError):
    """An answer that cannot be one; the message ends the sentence "it answered ..."."""


@dataclass(frozen=True)
class Card:
    """What a server says of its model before it is asked; empty where it says nothing. `kind`: of its answers."""

    model: str = ""
    versions: tuple[str, ...] = ()
    kind: Kind | None = None
    classes: tuple[str, ...] = ()
    count: int | None = None  # of classes
    shape: tuple[int, ...] = ()  # of one input, as it is sent
    bounds: tuple[float, float] | None = None
    input: str = "input"
    output: str = ""


class Dialect(Protocol):
    """A way to talk to a server. `body` of rows (B, *S); `read` gives the kind of the answers and them, (B, C) or for labels (B, 1)."""

    def address(self, url: str) -> str: ...

    def card(self, said: Any) -> Card: ...

    def body(self, rows: Rows, card: Card) -> dict[str, Any]: ...

    def read(self, said: Any, count: int, card: Card) -> tuple[Kind, Rows]: ...


class Plain:
    """POST {"instances": [...]} to the URL; back comes {"scores": [[...], ...]} or {"labels": [3, ...]}; docs/victims.md has it all.

    "predictions" are taken as what they look like: TensorFlow Serving and KServe v1 answer so.
    """

    def address(self, url: str) -> str:
        return url

    def card(self, said: Any) -> Card:
        if not isinstance(said, Mapping):
            return Card()
        classes, version, bounds = said.get("classes"), said.get("version"), said.get("bounds")
        names = tuple(printable(str(name)) for name in classes) if isinstance(classes, list) else ()
        return Card(
            model=str(said.get("model", "")),
            versions=(str(version),) if isinstance(version, str | int) else (),
            kind=said["answers"] if said.get("answers") in ("scores", "labels") else None,
            classes=names,
            count=classes if type(classes) is int else len(names) or None,
            shape=_whole(said.get("shape")),
            bounds=(float(bounds[0]), float(bounds[1])) if _are_numbers(bounds) and len(bounds) == 2 else None,
        )

    def body(self, rows: Rows, card: Card) -> dict[str, Any]:
        return {"instances": rows.tolist()}

    def read(self, said: Any, count: int, card: Card) -> tuple[Kind, Rows]:
        if not isinstance(said, Mapping):
            raise Garbage(f"a {type(said).__name__}, not an object")
        _refuse_other_version(said.get("version"), card)
        for name in ("scores", "labels", "predictions"):
            if name in said:
                flat = isinstance(said[name], list) and not any(isinstance(row, list) for row in said[name])
                kind: Kind = "labels" if name == "labels" or (name == "predictions" and flat) else "scores"
                return kind, _matrix(said[name], None, count, kind)
        raise Garbage('no "scores" and no "labels"')


class KServe:
    """The Open Inference Protocol, version 2: URL is that of the model, http://HOST/v2/models/NAME[/versions/V], with or without /infer.

    Inputs are one FP32 tensor; the first output counts, or the one that is named; integers are labels.
    """

    def address(self, url: str) -> str:
        return url.removesuffix("/infer") + "/infer"

    def card(self, said: Any) -> Card:
        if not isinstance(said, Mapping):
            return Card()
        first = _first(said.get("inputs"))
        output = _first(said.get("outputs"))
        shape = _whole(output.get("shape"))
        versions = said.get("versions")
        return Card(
            model=str(said.get("name", "")),
            versions=tuple(map(str, versions)) if isinstance(versions, list) else (),
            kind=_kind(output["datatype"]) if isinstance(output.get("datatype"), str) else None,
            count=shape[-1] if len(shape) == 2 and shape[-1] > 1 else None,
            shape=_whole(first.get("shape"))[1:] if min(_whole(first.get("shape"))[1:], default=0) > 0 else (),
            input=str(first.get("name", "input")),
        )

    def body(self, rows: Rows, card: Card) -> dict[str, Any]:
        tensor = {"name": card.input, "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
        wanted = {"outputs": [{"name": card.output}]} if card.output else {}
        return {"inputs": [tensor], **wanted}

    def read(self, said: Any, count: int, card: Card) -> tuple[Kind, Rows]:
        if not isinstance(said, Mapping) or not isinstance(said.get("outputs"), list):
            raise Garbage('no "outputs"')
        _refuse_other_version(said.get("model_version"), card)
        outputs = [o for o in said["outputs"] if isinstance(o, Mapping) and card.output in ("", o.get("name"))]
        if not outputs:
            raise Garbage(f"no output {card.output!r}" if card.output else "no outputs")
        kind = _kind(str(outputs[0].get("datatype", "FP32")))
        return kind, _matrix(outputs[0].get("data"), outputs[0].get("shape"), count, kind)


DIALECTS: dict[str, Dialect] = {"v1": Plain(), "v2": KServe()}


class Changed(Exception):
    """The server answers with another version of the model."""


def _refuse_other_version(version: Any, card: Card) -> None:
    if isinstance(version, str | int) and str(version) and card.versions and str(version) not in card.versions:
        raise Changed(f"with version {version} of the model, and said {' and '.join(card.versions)} before")


def _matrix(data: Any, shape: Any, count: int, kind: Kind) -> Rows:
    """Scores (count, C) or labels (count, 1), finite; Garbage for anything else."""
    try:
        if not _all_numbers(data, 3):
            raise TypeError
        found = np.asarray(data, dtype=np.float64)
        found = found if shape is None else found.reshape(shape)
    except Exception:  # ragged, too deep, too large, or of a shape that cannot be
        raise Garbage(f"{kind} that are no {'matrix' if kind == 'scores' else 'list'} of numbers") from None
    if kind == "labels":
        found = found.reshape(-1, 1)
    if found.ndim != 2 or len(found) != count or (kind == "scores" and found.shape[1] < 2):
        raise Garbage(f"{kind} of shape {found.shape} to {count} rows")
    if not (np.abs(found) <= np.finfo(np.float32).max).all():
        raise Garbage(f"{kind} that are not finite")
    if kind == "labels" and ((found < 0) | (found != found.round())).any():
        raise Garbage("labels that are no class numbers")
    return found.astype(np.float32)


def _all_numbers(data: Any, depth: int) -> bool:
    """Lists of lists of plain numbers, no more than so deep; text that reads as one is none, nor are true and false."""
    if type(data) is list:
        return depth > 0 and all(_all_numbers(item, depth - 1) for item in data)
    return type(data) in (int, float)


def _kind(datatype: str) -> Kind:
    return "labels" if "INT" in datatype.upper() else "scores"


def _first(tensors: Any) -> Mapping[str, Any]:
    """The first of a list of tables, or an empty one."""
    return tensors[0] if isinstance(tensors, list) and tensors and isinstance(tensors[0], Mapping) else {}


def _whole(numbers: Any) -> tuple[int, ...]:
    return tuple(map(int, numbers)) if _are_numbers(numbers) else ()


def _are_numbers(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and bool(value) and all(type(v) in (int, float) for v in value)
