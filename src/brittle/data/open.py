"""DATA strings: `mnist?split=train`, `images:photos?size=224`, `npz:arrays.npz`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..errors import unknown
from ..specs import Source, parse_source
from .arrays import open_npz
from .images import open_images
from .known import open_cifar10, open_digits, open_fashion_mnist, open_mnist
from .options import check_options
from .samples import Samples


@dataclass(frozen=True)
class Scheme:
    """What stands before the colon of a DATA string."""

    open: Callable[[Source], Samples]
    options: tuple[str, ...]
    about: str


SCHEMES = {
    "digits": Scheme(open_digits, ("split",), "1,797 digits of 8x8 that come with scikit-learn; needs no download"),
    "mnist": Scheme(open_mnist, ("split",), "70,000 handwritten digits of 28x28"),
    "fashion-mnist": Scheme(open_fashion_mnist, ("split",), "70,000 grey pictures of clothes of 28x28"),
    "cifar10": Scheme(open_cifar10, ("split",), "60,000 colour photographs of 32x32 in ten classes"),
    "images": Scheme(
        open_images,
        ("labels", "label", "size", "grey", "pixels"),
        "images:FOLDER, a folder for each class or a labels.csv; images:FILE?label=CLASS",
    ),
    "npz": Scheme(open_npz, ("bounds",), "npz:FILE, arrays x and y saved by NumPy"),
}


def open_data(text: str) -> Samples:
    """The samples a DATA string names. Raises InputError when it names none or they cannot be read."""
    source = parse_source(text)
    scheme = SCHEMES.get(source.scheme)
    if scheme is None:
        raise unknown("data", source.scheme, SCHEMES)
    check_options(source, scheme.options)
    return scheme.open(source)


def known_data() -> dict[str, str]:
    """The schemes of DATA strings, each with a line about it."""
    return {name: f"{scheme.about} (options: {', '.join(scheme.options)})" for name, scheme in SCHEMES.items()}
