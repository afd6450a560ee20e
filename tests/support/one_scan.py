"""Transformers reads the 1,600 files of its models each time it is imported; here one process does it for all.

A test run starts hundreds of processes that import it. `prepare` puts a copy of this file into a folder of the run,
under the name that Python imports when it starts, and what was found is kept beside it. It imports nothing that Python
has not imported by then: the command starts in a few hundredths of a second.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from typing import Any

SCANS = "transformers.utils.import_utils"
FOLDER = "mlx-serve-tests-"


class Finder:
    """Finds the one module that scans, and changes it once it is there."""

    def __init__(self, kept: str) -> None:
        self._kept = kept

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != SCANS:
            return None
        from importlib.machinery import PathFinder

        found = PathFinder.find_spec(name, path)
        if found is None or found.loader is None:
            return None
        execute = found.loader.exec_module

        def changed(module: Any) -> None:
            execute(module)
            if hasattr(module, "create_import_structure_from_path"):
                module.create_import_structure_from_path = kept(module.create_import_structure_from_path, self._kept)

        found.loader.exec_module = changed  # type: ignore[method-assign]
        return found


def kept(scan: Callable[[Any], Any], folder: str) -> Callable[[Any], Any]:
    """`scan`, whose result for the folder of models is kept in `folder`."""
    import marshal
    import zlib

    def scanned(module_path: Any) -> Any:
        path = os.fspath(module_path)
        models = path.removesuffix(f"{os.sep}__init__.py")
        if os.path.basename(models) != "models":  # noqa: PTH119
            return scan(module_path)
        name = os.path.join(folder, f"{zlib.crc32(models.encode()):x}-{sys.hexversion:x}")  # noqa: PTH118
        try:
            with open(name, "rb") as file:
                return marshal.load(file)
        except OSError:
            found = scan(module_path)
        try:
            with open(f"{name}.{os.getpid()}", "wb") as file:
                marshal.dump(found, file)
            os.replace(file.name, name)  # noqa: PTH105
        except OSError:
            pass  # the next process scans as well
        return found

    return scanned


def prepare() -> None:
    """For this process and all that it starts. The folder goes when the first process of the run ends."""
    import atexit
    import shutil
    import tempfile

    paths = os.environ.get("PYTHONPATH", "")
    folder = next((path for path in paths.split(os.pathsep) if FOLDER in path), None)
    if folder is None:
        folder = tempfile.mkdtemp(prefix=FOLDER)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        shutil.copyfile(__file__, os.path.join(folder, "sitecustomize.py"))  # noqa: PTH118
        # At the end: where there is another `sitecustomize`, that one is taken, and nothing is kept.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (paths, folder)))
    begin(folder)


def begin(folder: str) -> None:
    if not any(isinstance(finder, Finder) or type(finder).__module__ == "sitecustomize" for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder(folder))


if __name__ == "sitecustomize":
    begin(os.path.dirname(__file__))  # noqa: PTH120
