"""Where the symbolic links of a pulled folder may lead: into the folder, or as the layout of a cache or store needs.

Any other link would publish the file that it leads to, to everyone who may use the model.
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
    """`folder` and `beyond` are real paths; `beyond` is the other folder that links may lead to."""

    folder: Path
    beyond: Path | None = None

    @classmethod
    def of(cls, folder: Path) -> Bounds:
        """`beyond` is the repository of a snapshot in the hub's cache, or the blobs of a view of a model store.

        Raises OSError, and RuntimeError for a loop of links (Python 3.12 and older).
        """
        real = folder.resolve(strict=True)
        for parent in real.parents:
            if parent.name == "snapshots" and _HUB_REPOSITORY.fullmatch(parent.parent.name):
                return cls(real, parent.parent)
        if _VIEW.fullmatch(real.name) and real.parent.name == "views":
            return cls(real, real.parent.parent / "blobs")
        return cls(real)

    def locate(self, path: str) -> tuple[Path, Path]:
        """The real path of a file of the folder, and the one of the two folders that it is in. Raises SourceError."""
        try:
            real = (self.folder / path).resolve(strict=True)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error
        except RuntimeError as error:
            raise SourceError(f"{path} cannot be read: its symbolic links form a loop") from error
        for place in (self.folder, self.beyond):
            if place is not None and real != place and real.is_relative_to(place):
                return real, place
        raise SourceError(
            f"{path} is a symbolic link, or in one, that leads out of the folder",
            hint="replace the link with the file itself",
        )
