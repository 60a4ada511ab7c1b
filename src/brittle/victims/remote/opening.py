"""`http:URL?key=value`: from the string to the victim."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast
from urllib.parse import urlsplit

from ...core.access import Access
from ...core.victim import CPU, Victim
from ...data.downloads import cache
from ...data.options import check_options, parse_choice, parse_count
from ...data.samples import MOST_CLASSES
from ...errors import InputError
from ...files import user_path
from ...outside import reading
from ...specs import parse_number
from ..request import Request
from .asking import Remote
from .journal import Journal
from .line import Line, Patience
from .protocols import DIALECTS, Card, Kind

DAY = 86_400  # seconds; the system's clocks know no such waits as 1e300
OPTIONS = (
    *("protocol", "answers", "scores", "classes", "layout", "input", "output", "bounds"),
    *("batch", "budget", "timeout", "retries", "wait", "token_env", "journal"),
)


def open_http(request: Request) -> Victim:
    """The server's model: scores or labels, no gradient. It is asked what it says of itself; of its weights nothing is seen."""
    check_options(request.source, OPTIONS)
    options = request.source.options
    url = _url(request)
    dialect = DIALECTS[parse_choice(options, "protocol", ("v1", "v2"), "v1")]
    layout = parse_choice(options, "layout", ("nchw", "nhwc"), "nchw")
    outputs = parse_choice(options, "scores", ("auto", "logits", "probabilities"), "auto")
    patience = Patience(
        timeout=_seconds(options, "timeout", Patience.timeout),
        retries=parse_count(options, "retries", Patience.retries, least=0),
        wait=_seconds(options, "wait", Patience.wait),
    )
    batch, budget = parse_count(options, "batch", 32), parse_count(options, "budget", 0) or None
    line = Line(patience, _token(options))
    said = line.about(url.removesuffix("/infer"))
    with reading(f"what {url} says of its model cannot be read", "mend what the server answers to a GET"):
        card = _wanted(dialect.card(said), options)
    if card.count is not None and not 2 <= card.count <= MOST_CLASSES:
        raise InputError(
            f"{url} says it knows {card.count} classes; mend that, or give 2 to {MOST_CLASSES:,} as classes="
        )
    kind = cast(Kind, parse_choice(options, "answers", ("scores", "labels"), card.kind or "scores"))
    if kind == "labels" and card.count is None:
        raise InputError(f"{url} answers with labels and does not say of how many classes; write classes=NUMBER")
    asked = (options.get("protocol", "v1"), kind, layout, card.input, card.output, card.count)
    digest = hashlib.sha256(repr((url, card.model, card.versions, *asked)).encode()).hexdigest()[:32]
    path = user_path(options["journal"]) if "journal" in options else cache() / "http" / f"{digest}.sqlite"
    remote = Remote(
        line=line,
        url=url,
        dialect=dialect,
        card=card,
        kind=kind,
        journal=Journal(path, digest),
        batch=batch,
        budget=budget,
        last=layout == "nhwc",
        outputs=None if outputs == "auto" else cast(Literal["logits", "probabilities"], outputs),
    )
    lower, upper = request.given or card.bounds or request.bounds
    shape = (card.shape[-1], *card.shape[:-1]) if layout == "nhwc" and len(card.shape) > 1 else card.shape
    return Victim(
        remote,
        lower,
        upper,
        request.text,
        hashlib.sha256(f"{digest} {outputs}".encode()).hexdigest()[:32],
        device=request.device or CPU,
        access=Access.LABELS if kind == "labels" else Access.SCORES,
        shape=shape,
        classes=card.classes,
    )


def _url(request: Request) -> str:
    """`http:http://HOST/PATH`, `http://HOST/PATH` and `https://HOST/PATH` are all URLs."""
    rest = request.source.rest
    url = f"{request.source.scheme}:{rest}" if rest.startswith("//") else rest
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InputError(f"{url!r} is no URL ({error}); write for example http://127.0.0.1:8000/predict") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(f"{url!r} is no http or https URL; write for example http://127.0.0.1:8000/predict")
    if parts.username or parts.password:
        raise InputError("the URL holds a name or a password, which would be printed; give a token as token_env=NAME")
    return url


def _wanted(card: Card, options: Mapping[str, str]) -> Card:
    """The card with what the string says of the model."""
    count = parse_count(options, "classes", card.count or 0, least=2) if "classes" in options else card.count
    if card.count and count != card.count:
        raise InputError(f"classes={count}, and the server says {card.count}; leave classes= away")
    return replace(card, count=count, input=options.get("input", card.input), output=options.get("output", card.output))


def _token(options: Mapping[str, str]) -> str | None:
    name = options.get("token_env")
    if name is not None and not os.environ.get(name):
        raise InputError(f"token_env={name} names no environment variable that is set; export {name}=...")
    return os.environ[name].strip() if name is not None else None


def _seconds(options: Mapping[str, str], key: str, default: float) -> float:
    value = parse_number(options[key]) if key in options else default
    if not 0 < value <= DAY:
        raise InputError(f"{key}={options[key]} is not accepted; give seconds above 0 and at most {DAY:,}, a day")
    return value
