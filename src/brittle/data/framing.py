"""How a network wants its pictures framed: scaled, then cropped in the middle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from PIL import Image

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True, kw_only=True)
class Framing:
    """Scale to `scaled`, then keep the middle of `size`; all in pixels, height before width.

    scaled: the shorter side, with proportions kept, or a height and a width. fit: to exactly these, or with proportions kept so that the
    picture covers them or lies within them. Where a picture is then smaller than `size`, the rest is of the colour `border`, 0 to 255 a
    channel. down: a middle that begins at half a pixel begins before it, as in transformers, not at the even one of the two, as in
    torchvision. interpolation: a key of RESAMPLING, with antialiasing.
    """

    size: tuple[int, int]
    scaled: int | tuple[int, int]
    fit: Literal["exactly", "covering", "within"] = "exactly"
    border: tuple[int, ...] = ()  # black
    down: bool = False
    interpolation: str = "bilinear"

    @classmethod
    def stretched(cls, size: tuple[int, int]) -> Framing:
        """To that size, whatever becomes of the proportions."""
        return cls(size=size, scaled=size)

    @classmethod
    def covering(cls, size: tuple[int, int]) -> Framing:
        """The middle of the picture, as large as it goes; stretched where `size` is no square."""
        return cls(size=size, scaled=size[0]) if size[0] == size[1] else cls.stretched(size)

    def scale_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width before the crop of a picture that is so high and so wide."""
        if isinstance(self.scaled, tuple):
            if self.fit == "exactly":
                return self.scaled
            ratios = height / self.scaled[0], width / self.scaled[1]
            ratio = min(ratios) if self.fit == "covering" else max(ratios)
            return round(height / ratio), round(width / ratio)
        if height < width:
            return self.scaled, int(self.scaled * width / height)
        return int(self.scaled * height / width), self.scaled

    def corner_of(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of what is kept of a scaled picture; below 0 where it is smaller than `size`."""
        return self._start(height, self.size[0]), self._start(width, self.size[1])

    def resized(self, size: tuple[int, int]) -> Framing:
        """For a network that takes another size: scaled as much more or less."""
        if isinstance(self.scaled, int) and size[0] * self.size[1] == size[1] * self.size[0]:
            return replace(self, size=size, scaled=round(self.scaled * size[0] / self.size[0]))
        own = self.scaled if isinstance(self.scaled, tuple) else (self.scaled, self.scaled)
        scaled = round(own[0] * size[0] / self.size[0]), round(own[1] * size[1] / self.size[1])
        return replace(self, size=size, scaled=scaled, fit=self.fit if own is self.scaled else "covering")

    def apply(self, picture: Image.Image) -> Image.Image:
        """The picture so framed."""
        height, width = self.scale_of(picture.height, picture.width)
        if (picture.height, picture.width) != (height, width):
            picture = picture.resize((width, height), RESAMPLING[self.interpolation])
        top, left = self.corner_of(height, width)
        if (height, width) == self.size:
            return picture
        if not self.border or (height >= self.size[0] and width >= self.size[1]):
            return picture.crop((left, top, left + self.size[1], top + self.size[0]))
        framed = Image.new(picture.mode, self.size[::-1], self._colour(picture.mode))
        framed.paste(picture, (-left, -top))
        return framed

    def __str__(self) -> str:
        """`shorter side to 256, middle 224x224, bilinear`; another one for every other framing."""
        middle = "x".join(map(str, self.size))
        if self.scaled == self.size and self.fit == "exactly":
            return f"stretched to {middle}, {self.interpolation}"
        way = "to" if self.fit == "exactly" else self.fit
        to = (
            f"shorter side to {self.scaled}"
            if isinstance(self.scaled, int)
            else f"{way} {self.scaled[0]}x{self.scaled[1]}"
        )
        rest = f" on the colour {self.border}" if self.border else ""
        return f"{to}, middle {middle}{rest}{', half pixels down' if self.down else ''}, {self.interpolation}"

    def _start(self, length: int, kept: int) -> int:
        """Where the middle begins; where there is less than is kept, half a pixel of border more lies behind than before."""
        if length < kept:
            return -((kept - length) // 2)
        return (length - kept) // 2 if self.down else round((length - kept) / 2)

    def _colour(self, mode: str) -> float | tuple[int, ...]:
        """The border in a picture of that mode: RGB, L, or F from 0 to 1."""
        if mode == "RGB":
            return self.border
        grey = sum(self.border) / len(self.border)
        return grey / 255 if mode == "F" else (round(grey),)
