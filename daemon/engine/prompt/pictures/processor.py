"""Pictures to what a vision tower reads, by the model's own image processor of Transformers (its Pillow edition)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....protocol import Picture
from ...process import import_transformers
from ..prompt_frames import PackedArray, PackedPicture, SightData
from ..refused import Refused
from .arrangement import FAMILIES, Arrangement, Arrays
from .decoding import decode

_SIZE_OPTIONS = ("longest_edge",)


@dataclass(frozen=True)
class Arranged:
    """A picture that was read."""

    picture: Picture
    arrangement: Arrangement

    @cached_property
    def key(self) -> str:
        """A digest of all that the model sees of it, whatever file it came in, and however that was scaled."""
        found, digest = self.arrangement, blake2b(digest_size=16)
        digest.update(repr((found.runs, found.grid)).encode())
        for name, array in sorted(found.arrays.items()):
            digest.update(repr((name, array.dtype.str, array.shape)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def packed(self, places: NDArray[Any]) -> PackedPicture:
        """`places`: where the picture's tokens are in the prompt."""
        arrays = {name: _pack(array) for name, array in self.arrangement.arrays.items()}
        return PackedPicture(
            key=self.key,
            places=places.astype(np.int32).tobytes(),
            arrays=arrays,
            grid=self.arrangement.grid,
        )


def open_image_processor(folder: str) -> Any:
    """Transformers' image processor of the model in this folder. Raises OSError, ValueError, ImportError."""
    import_transformers()
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)


class PictureProcessor:
    """For one model that sees."""

    def __init__(self, sight: SightData) -> None:
        self._sight = sight
        self._family = FAMILIES[sight.family]
        self._images = open_image_processor(sight.folder)

    def prepare(self, picture: Picture, note: Callable[[int], None]) -> Arranged:
        """`note` is told the number of pixels before they are decoded. Raises Refused."""
        image = decode(picture, note)
        try:
            made = self._images(images=[image], do_rescale=False, do_normalize=False, **self._options(picture))
        except ValueError as error:
            size = f"{image.width} × {image.height} pixels"
            message = f"{picture.param}: this model cannot take a picture of {size} ({str(error)[:200]})"
            raise Refused("invalid_request", message, picture.param) from error
        arrangement = self._family.arrange(made, self._sight)
        pixels = arrangement.arrays["pixels"]
        arrangement.arrays["pixels"] = pixels if pixels.dtype == np.uint8 else _as_bytes(pixels)
        arrangement.arrays.update(self._normalisation())
        return Arranged(picture, arrangement)

    def _options(self, picture: Picture) -> dict[str, Any]:
        options: dict[str, Any] = dict(self._sight.options)
        if picture.detail == "low":
            for name, value in self._family.few.items():
                options |= self._smaller(value) if name in _SIZE_OPTIONS else {name: value}
        return options

    def _smaller(self, longest: int) -> dict[str, Any]:
        own = {name: value for name, value in dict(self._images.size).items() if value is not None}
        return {"size": {name: min(int(value), longest) for name, value in own.items()}}

    def _normalisation(self) -> Arrays:
        """A value is a byte times `scale` plus `shift`, colour by colour."""
        images = self._images
        scale = np.full(3, float(images.rescale_factor) if images.do_rescale else 1.0)
        shift = np.zeros(3)
        if images.do_normalize:
            mean, deviation = np.array(images.image_mean, float), np.array(images.image_std, float)
            scale, shift = scale / deviation, -mean / deviation
        return {"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}


def _as_bytes(pixels: NDArray[Any]) -> NDArray[Any]:
    """Values that were not rescaled are whole numbers to 255, in whatever type they come."""
    rounded = pixels.astype(np.uint8)
    return rounded if np.array_equal(rounded, pixels) else pixels.astype(np.float32)


def _pack(array: NDArray[Any]) -> PackedArray:
    return PackedArray(shape=array.shape, dtype=array.dtype.str, data=np.ascontiguousarray(array).tobytes())
