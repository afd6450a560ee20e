"""A file that the service manager reads: whether it is as we wrote it, the difference, writing it, removing it.

What we write has a comment with the SHA-256 of everything else in the file. A file whose digest is another one was
changed by somebody since; one without the comment was never ours.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from .service_error import FileChanged, ServiceError

_MARK = re.compile(rb"^(?:# |<!-- )written by mlx-serve, sha256 ([0-9a-f]{64})(?: -->)?\n", re.MULTILINE)
_LONGEST = 1 << 20


def marked(content: bytes, *, xml: bool) -> bytes:
    """The content with our comment: in XML after the document type, else as the first line."""
    comment = f"written by mlx-serve, sha256 {hashlib.sha256(content).hexdigest()}"
    line = (f"<!-- {comment} -->" if xml else f"# {comment}").encode() + b"\n"
    at = content.index(b"<plist") if xml else 0
    return content[:at] + line + content[at:]


def is_ours(content: bytes) -> bool:
    """Whether it is, byte for byte, what some version of mlx-serve wrote."""
    found = _MARK.search(content)
    if found is None:
        return False
    rest = content[: found.start()] + content[found.end() :]
    return hashlib.sha256(rest).hexdigest().encode() == found[1]


class UnitFile:
    """`wanted` is what this version writes at `path`."""

    def __init__(self, path: Path, wanted: bytes) -> None:
        self.path = path
        self.wanted = wanted

    def read(self) -> bytes | None:
        """None where there is no file. Raises ServiceError."""
        try:
            with open(self.path, "rb") as file:
                return file.read(_LONGEST)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ServiceError(f"cannot read {self.path}: {error.strerror}", "make it readable") from error

    def state(self) -> str:
        """`absent`, `current`, `outdated` (ours, of other settings or another version), `changed` (not as we wrote
        it), or `foreign` (never ours)."""
        found = self.read()
        if found is None:
            return "absent"
        if found == self.wanted:
            return "current"
        if is_ours(found):
            return "outdated"
        return "changed" if _MARK.search(found) else "foreign"

    def difference(self) -> str:
        """From the file as it is to what we would write, as `diff -u` prints it; empty where they are the same."""
        return "".join(
            line if line.endswith("\n") else f"{line}\n"
            for line in difflib.unified_diff(
                (self.read() or b"").decode(errors="replace").splitlines(keepends=True),
                self.wanted.decode().splitlines(keepends=True),
                str(self.path),
                "what mlx-serve would write",
            )
        )

    def refuse_if_changed(self) -> None:
        """Raises FileChanged for a file that is not as we wrote it."""
        state = self.state()
        if state == "changed":
            raise FileChanged(f"{self.path} was changed since mlx-serve wrote it", self.difference())
        if state == "foreign":
            raise FileChanged(f"{self.path} was not written by mlx-serve", self.difference())

    def write(self) -> bool:
        """Whether the file is another one now. The name always has a whole file. Raises ServiceError."""
        if self.read() == self.wanted:
            return False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with open(handle, "wb") as file:
                    os.fchmod(file.fileno(), 0o644)
                    file.write(self.wanted)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise ServiceError(
                f"cannot write {self.path}: {error.strerror}", f"make {self.path.parent} writable"
            ) from error
        return True

    def remove(self) -> None:
        """Raises ServiceError."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise ServiceError(f"cannot remove {self.path}: {error.strerror}", "remove it by hand") from error
