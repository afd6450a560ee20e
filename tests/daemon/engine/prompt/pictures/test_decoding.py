"""Files to pixels: what is read, what is refused before anything is decoded, and with which sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.drawn import noise
from support.hostile_pictures import REFUSED, bomb
from support.pictures import encoded, picture

from mlx_serve.daemon.engine.prompt.pictures.decoding import MOST_PIXELS, decode
from mlx_serve.daemon.engine.prompt.refused import Refused

NOISE = noise(40, 56)


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(decode(picture(data), lambda count: None))


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """With a sentence that begins with the field, and the field itself."""
    data, sentence = REFUSED[name]
    with pytest.raises(Refused, match=f"^messages.2.content.1: the picture .*({sentence})") as raised:
        decode(picture(data, param="messages.2.content.1"), lambda count: None)
    assert (raised.value.code, raised.value.param) == ("invalid_request", "messages.2.content.1")


def test_every_format() -> None:
    for format in ("PNG", "BMP", "TIFF", "GIF"):
        assert np.array_equal(pixels(encoded(NOISE, format)), NOISE), format
    lossless = encoded(NOISE, "WEBP", lossless=True)
    assert np.array_equal(pixels(lossless), NOISE)
    assert np.abs(pixels(encoded(NOISE, "JPEG", quality=95)).astype(int) - NOISE).mean() < 12


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.fromarray(noise(40, 56, seed)) for seed in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.abs(pixels(data).astype(int) - np.asarray(frames[0].convert("P").convert("RGB"))).max() < 60
    data = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(pixels(data), np.asarray(frames[0]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_way_it_was_taken(orientation: int) -> None:
    """EXIF's eight orientations, by what each of them means for the corner pixels."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(NOISE), "PNG", exif=exif)
    turned = NOISE if orientation < 5 else NOISE.transpose(1, 0, 2)
    flips = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
    down, right = flips[orientation]
    assert np.array_equal(pixels(data), turned[::down, ::right])


def test_colours() -> None:
    """Grey, palettes, transparency and CMYK as Pillow converts them; sixteen bits are scaled, not cut off."""
    grey = NOISE[..., 0]
    assert np.array_equal(pixels(encoded(grey)), np.stack([grey] * 3, -1))
    alpha = np.dstack([NOISE, grey])
    assert np.array_equal(pixels(encoded(alpha)), NOISE)
    palette = Image.fromarray(NOISE).quantize(16)
    assert np.array_equal(pixels(encoded(palette)), np.asarray(palette.convert("RGB")))
    cmyk = Image.fromarray(NOISE).convert("CMYK")
    assert np.abs(pixels(encoded(cmyk, "JPEG", quality=100)).astype(int) - NOISE).mean() < 8
    wide = grey.astype(np.uint16) * 257
    assert np.array_equal(pixels(encoded(wide)), np.stack([grey] * 3, -1))
    assert np.array_equal(pixels(encoded(Image.fromarray(grey > 127))), np.stack([(grey > 127) * 255] * 3, -1))


def test_sizes_that_end_in_themselves() -> None:
    for size in ((1, 1), (3, 1), (1, 10_000), (10_000, 1)):
        assert pixels(encoded(np.full((*size, 3), 7, np.uint8))).shape == (*size, 3)


def test_the_size_is_told_before_decoding() -> None:
    """For the deadline and the memory that a picture gets; not of one that is refused."""
    told: list[int] = []
    decode(picture(NOISE), told.append)
    with pytest.raises(Refused):
        decode(picture(bomb(30_000)), told.append)
    assert told == [40 * 56] and MOST_PIXELS < 30_000**2
