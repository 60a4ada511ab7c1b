"""How a network wants its pictures framed: scaled, then cropped in the middle."""

from __future__ import annotations

from dataclasses import dataclass

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

    scaled: the shorter side, with proportions kept, or a height and a width. Where it is less than `size`, the rest is black.
    interpolation: a key of RESAMPLING, with antialiasing.
    """

    size: tuple[int, int]
    scaled: int | tuple[int, int]
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
            return self.scaled
        if height < width:
            return self.scaled, int(self.scaled * width / height)
        return int(self.scaled * height / width), self.scaled

    def corner_of(self, height: int, width: int) -> tuple[int, int]:
        """Top and left of what is kept of a scaled picture; below 0 where it is smaller than `size`."""
        return _start(height, self.size[0]), _start(width, self.size[1])

    def resized(self, size: tuple[int, int]) -> Framing:
        """For a network that takes another size: scaled as much more or less."""
        if isinstance(self.scaled, tuple):
            scaled: int | tuple[int, int] = (
                round(self.scaled[0] * size[0] / self.size[0]),
                round(self.scaled[1] * size[1] / self.size[1]),
            )
        else:
            scaled = round(self.scaled * min(size) / min(self.size))
        return Framing(size=size, scaled=scaled, interpolation=self.interpolation)

    def apply(self, picture: Image.Image) -> Image.Image:
        """The picture so framed."""
        height, width = self.scale_of(picture.height, picture.width)
        if (picture.height, picture.width) != (height, width):
            picture = picture.resize((width, height), RESAMPLING[self.interpolation])
        top, left = self.corner_of(height, width)
        if (height, width) == self.size:
            return picture
        return picture.crop((left, top, left + self.size[1], top + self.size[0]))

    def __str__(self) -> str:
        """`shorter side to 256, middle 224x224, bilinear`."""
        middle = "x".join(map(str, self.size))
        if self.scaled == self.size:
            return f"stretched to {middle}, {self.interpolation}"
        to = f"shorter side to {self.scaled}" if isinstance(self.scaled, int) else "to {}x{}".format(*self.scaled)
        return f"{to}, middle {middle}, {self.interpolation}"


def _start(length: int, kept: int) -> int:
    """Where the middle begins; half pixels are rounded as torchvision does, to even where it crops and down where it pads."""
    return round((length - kept) / 2) if length >= kept else -((kept - length) // 2)
