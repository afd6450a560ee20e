"""The bytes of a picture's file to RGB pixels, within limits that are looked at before anything is decoded."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from ....protocol import Picture
from ..refused import Refused

MOST_PIXELS = 64_000_000
FORMATS = tuple(
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        WebPImagePlugin.WebPImageFile,
        GifImagePlugin.GifImageFile,
        BmpImagePlugin.BmpImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
"""Importing a plugin makes its format known; no other decoder is ever tried."""
READABLE = "PNG, JPEG, WebP, GIF, BMP or TIFF"
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_SVG = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*(?:<!DOCTYPE\s+svg|<svg\b)", re.DOTALL)

Image.MAX_IMAGE_PIXELS = None  # MOST_PIXELS is checked here, and with a sentence


def decode(picture: Picture, note: Callable[[int], None]) -> Image.Image:
    """The picture upright, in RGB; of an animation the first frame. `note` is told the number of pixels before they are
    decoded. Raises Refused."""
    try:
        image = Image.open(io.BytesIO(picture.data), formats=FORMATS)
    except UnidentifiedImageError:
        raise _refused(picture, _unknown(picture.data)) from None
    except MemoryError:
        raise
    except Exception:
        raise _refused(picture, "is damaged: its header cannot be read") from None
    width, height = image.size
    if not width or not height:
        raise _refused(picture, "has no pixels")
    if width * height > MOST_PIXELS:
        most = f"{MOST_PIXELS / 1e6:.0f} megapixels"
        raise _refused(
            picture, f"has {width} × {height} pixels, more than the {most} that are decoded; send it smaller"
        )
    note(width * height)
    try:
        image.load()
        return _rgb(ImageOps.exif_transpose(image))
    except MemoryError:
        raise
    except Exception:
        raise _refused(picture, "is damaged or cut off: its pixels cannot be decoded") from None


def _rgb(image: Image.Image) -> Image.Image:
    """As Transformers converts pictures, by dropping transparency; but 16 bits a pixel are scaled, where Pillow's own
    conversion would cut them off at 255."""
    if image.mode in _SIXTEEN_BITS:
        wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    return image.convert("RGB")


def _unknown(data: bytes) -> str:
    if not data:
        return "is empty"
    if _SVG.match(data[:4096]):
        return f"is an SVG drawing, which cannot be read; send it as {READABLE}"
    return f"cannot be read: it is not {READABLE}"


def _refused(picture: Picture, what: str) -> Refused:
    return Refused("invalid_request", f"{picture.param}: the picture {what}", picture.param)
