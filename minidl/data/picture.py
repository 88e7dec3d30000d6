"""One image file, decoded: the colours that it holds, or an error that names it."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

# What a file may be, by its content, whatever its name says: nothing that other programs must read, as they do EPS.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
OTHER_PROGRAMS = frozenset(["EPS"])
MOST_PIXELS = 89_478_485  # of one image, 256 MiB of RGB: Pillow warns of more, which may be a bomb


def read_rgb(path: Path, own: bool = False) -> Image.Image:
    """Decode one image file, as RGB whatever it was; the user's ``own`` of any format, and upright as EXIF says."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=tuple(sorted(_readable())) if own else FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width} x {image.height} pixels, and at most {MOST_PIXELS} are read")
            return _rgb(ImageOps.exif_transpose(image) if own else image)
    except Exception as error:  # of hostile bytes: decoders raise whatever comes to them
        fix = (
            "make it smaller, save it anew, or take it out of its folder"
            if own
            else "restore it, or delete the folder of the dataset and install it again with download=True"
        )
        raise RuntimeError(
            f"cannot read the image {path}: {error}. The file is damaged, missing, too large, or of another kind: {fix}"
        ) from error


@functools.cache
def _readable() -> frozenset[str]:
    """The formats that Pillow reads by itself: not those for which it starts another program."""
    from PIL import Image

    Image.init()
    return frozenset(Image.OPEN) - OTHER_PROGRAMS


def is_readable(name: str) -> bool:
    """Whether a file's name ends as those of images do."""
    from PIL import Image

    return Image.registered_extensions().get(Path(name).suffix.lower()) in _readable()


def _rgb(image: Image.Image) -> Image.Image:
    """Pillow's conversion, but for the kinds of pixels that it cuts off at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are real numbers, and nothing says which of them is white: save it with 8 bits")
    if image.mode.startswith("I"):  # 16 bits, which Pillow holds in 16 or in 32
        pixels = np.asarray(image).astype(np.int64)  # (H, W)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise ValueError("its pixels have more than 16 bits: save it with 8")
        image = Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    return image.convert("RGB")


def square(path: Path, pixels: int, own: bool = False) -> bytes:
    """One image, its shorter side resized to ``pixels`` and its central square cut out: torchvision's way."""
    from PIL import Image

    image = read_rgb(path, own)
    width, height = image.size
    short = min(width, height)
    width, height = int(pixels * width / short), int(pixels * height / short)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - pixels) / 2), round((height - pixels) / 2)
    return image.crop((left, top, left + pixels, top + pixels)).tobytes()
