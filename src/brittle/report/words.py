"""How numbers are written: never more digits than were measured, radii the way people name them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from .shares import Share


def digits(share: Share) -> int:
    """Decimals of a percentage that the sample supports: none while the interval is over a point wide, at most two."""
    half_width = 50 * (share.high - share.low)  # in points
    return 0 if half_width >= 0.5 else 1 if half_width >= 0.05 else 2


def percent(share: Share) -> str:
    """`51 %`. A share that is neither nothing nor everything is never rounded to 0 % or 100 %."""
    if not share.n:
        return "–"
    places = digits(share)
    step = 10.0**-places
    if share.count > 0 and 100 * share.value < step / 2:
        return f"<{step:.{places}f} %"
    if share.count < share.n and 100 * share.value >= 100 - step / 2:
        return f">{100 - step:.{places}f} %"
    return f"{100 * share.value:.{places}f} %"


def interval(share: Share) -> str:
    """`[47 %, 55 %]`, rounded outwards, so that what is printed still covers what was computed."""
    if not share.n:
        return "not measured"
    places = digits(share)
    scale = 10**places
    # the small slack undoes binary noise such as 0.29 * 100 = 28.999999999999996
    low = math.floor(100 * share.low * scale + 1e-9) / scale
    high = math.ceil(100 * share.high * scale - 1e-9) / scale
    return f"[{low:.{places}f} %, {high:.{places}f} %]"


def span(share: Share) -> str:
    """`47–55`, the interval in percent where room is short."""
    if not share.n:
        return ""
    low, high = interval(share)[1:-1].replace(" %", "").split(", ")
    return f"{low}–{high}"


def confidence(value: float) -> str:
    """A softmax probability: `97 %`; never 100 % before it is 1, nor 0 % before it is 0."""
    if not math.isfinite(value):
        return ""
    if 0 < value <= 0.005:
        return "<1 %"
    return "100 %" if value == 1 else f"{min(100 * value, 99.9):.1f} %" if value > 0.995 else f"{100 * value:.0f} %"


def radius(eps: float, threat: str = "", bounds: Sequence[float] = (0.0, 1.0)) -> str:
    """`8/255`, `0.5/255` for linf radii of inputs in [0, 1] that are whole or half grey levels and no short decimal; else three digits."""
    if not math.isfinite(eps):
        return "any size"
    levels = 255 * eps
    halves = round(2 * levels)
    whole = halves > 0 and abs(2 * levels - halves) < 1e-6
    short = len(f"{eps:.6g}") <= 5  # 0.2 is 51/255, and 0.2 is what was meant
    if threat == "linf" and tuple(bounds) == (0.0, 1.0) and whole and not short:
        return f"{halves / 2:g}/255"
    return f"{eps:.3g}"


def amount(value: float) -> str:
    """A measured quantity with three digits: `0.0312`, `41.3`, `1,240`; a dash when there is none."""
    if not math.isfinite(value):
        return "–"
    size = f"{abs(value):,.0f}" if abs(value) >= 1000 else f"{abs(value):.3g}"
    return f"−{size}" if value < 0 else size


def between(low: float, high: float) -> str:
    """`0.02–0.1`, or one number where both are written the same."""
    ends = dict.fromkeys((amount(low), amount(high)))
    return "–".join(ends)


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def several(names: Sequence[str], most: int = 4) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    listed = list(names)
    if len(listed) > most:
        listed = [*listed[: most - 1], f"{len(listed) - most + 1} more"]
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def counted(n: int, noun: str) -> str:
    """`1 sample`, `1,200 samples`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def source_name(text: str) -> str:
    """A model's or data's text as a heading: `images:pictures?size=224` for `images:/home/me/pictures?size=224`; addresses as they are."""
    return text if "://" in text else re.sub(r"(?:[^?&=:/\\]*[/\\]){2,}([^?&=:/\\]+)", r"\1", text)


def threat_name(threat: Any) -> str:
    """`linf`, from a plan's text `linf:8/255` or from its encoded threat; `union (linf 8/255, l2 0.5)`, where radii are scales;
    `linf by feature` where they are shares of each feature's own eps."""
    if isinstance(threat, str):
        return threat.partition(":")[0]
    if "members" in threat:
        parts = [f"{threat_name(member)} {radius(member['eps'], threat_name(member))}" for member in threat["members"]]
        return f"{kind_of(threat).lower()} ({', '.join(parts)})"
    name = str(threat.get("name") or kind_of(threat).lower())
    return f"{name} by feature" if threat.get("scale") else name


def moment(text: str) -> str:
    """`30 November 2026, 22:31 +00:00` for a time as a run notes it; anything else as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (
        f"{when.day} {when:%B %Y, %H:%M} {when.isoformat()[-6:]}" if when.tzinfo else f"{when.day} {when:%B %Y, %H:%M}"
    )


def kind_of(encoded: Mapping[str, Any]) -> str:
    """The class's own name in `module:Outer.Class@digest`."""
    return str(encoded.get("type", "")).partition("@")[0].rpartition(":")[2].rpartition(".")[2]
