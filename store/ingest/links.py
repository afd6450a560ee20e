"""How far the symbolic links of a folder may lead: no further than the folder, but for layouts that consist of links.

A link that leads elsewhere would publish whatever it names to everybody who may use the model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import SourceError

_HUB_REPOSITORY = re.compile(r"models--.+")
_VIEW = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Bounds:
    """`folder` and `beyond` are real paths; `beyond` is the other place where files may lie."""

    folder: Path
    beyond: Path | None = None

    @classmethod
    def of(cls, folder: Path) -> Bounds:
        """For a snapshot of the hub's cache its repository there, for a view of a model store the store's blobs.

        Raises OSError, and RuntimeError for links in a circle (Python 3.12 and older).
        """
        real = folder.resolve(strict=True)
        for parent in real.parents:
            if parent.name == "snapshots" and _HUB_REPOSITORY.fullmatch(parent.parent.name):
                return cls(real, parent.parent)
        if _VIEW.fullmatch(real.name) and real.parent.name == "views":
            return cls(real, real.parent.parent / "blobs")
        return cls(real)

    def locate(self, path: str) -> tuple[Path, Path]:
        """The real path of a file of the folder, and which of the two places it is in. Raises SourceError."""
        try:
            real = (self.folder / path).resolve(strict=True)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        except RuntimeError as error:
            raise SourceError(f"{path} cannot be read: its symbolic links lead in a circle") from error
        for place in (self.folder, self.beyond):
            if place is not None and real != place and real.is_relative_to(place):
                return real, place
        raise SourceError(
            f"{path} is not in the folder: a symbolic link leads to a place outside of it",
            hint="put the file itself there in place of the link",
        )
