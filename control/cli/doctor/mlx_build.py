"""MLX as it is installed: which wheel, for which macOS, with which kernels, and what it computes with."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .... import machine
from .finding import Finding
from .metal_library import UnreadableLibrary, functions, tensor_kernels

_SECONDS = 120.0
_AGAIN = "pip install --force-reinstall --no-cache-dir mlx mlx-metal, with a Python for this macOS"
_WITH_TENSOR_UNITS = 5
_TENSOR_MACOS = (26, 2)


@dataclass(frozen=True)
class Build:
    """`versions` of the packages that are installed; `tag` of the wheel that brings MLX's library; `macos` and `chip`
    on a Mac; `kernels` for an M5's neural accelerators in `library`; `probe` is what MLX said of itself, `failure` why
    it could not; `nvidia`: a GPU of that make is here."""

    versions: dict[str, str]
    tag: str | None = None
    macos: str | None = None
    chip: str | None = None
    library: str | None = None
    kernels: int | None = None
    unreadable: str | None = None
    probe: dict[str, Any] | None = None
    failure: str | None = None
    unfit: str | None = None
    nvidia: bool = False


def look() -> Build:
    versions = {name: found for name in _PACKAGES if (found := _version(name)) is not None}
    apple = sys.platform == "darwin"
    library = _library() if apple else None
    kernels, unreadable = _count(library)
    probe, failure = _probe() if "mlx" in versions else (None, None)
    return Build(
        versions=versions,
        tag=next((tag for name in ("mlx-metal", "mlx-cuda-13", "mlx-cpu", "mlx") if (tag := _tag(name))), None),
        macos=machine.text("kern.osproductversion") if apple else None,
        chip=machine.text("machdep.cpu.brand_string") if apple else None,
        library=None if library is None else str(library),
        kernels=kernels,
        unreadable=unreadable,
        probe=probe,
        failure=failure,
        unfit=machine.problem(),
        nvidia=Path("/dev/nvidiactl").exists(),
    )


def judge(build: Build) -> list[Finding]:
    if build.unfit:
        return [
            Finding("problem", "machine", build.unfit, "use a machine, a macOS and a Python that MLX has wheels for")
        ]
    if "mlx" not in build.versions:
        return [
            Finding(
                "problem",
                "mlx",
                f"MLX is not installed for {sys.executable}",
                "pip install mlx, or install mlx-serve again",
            )
        ]
    return [*_judge_wheel(build), *_judge_kernels(build), *_judge_probe(build)]


def _judge_wheel(build: Build) -> list[Finding]:
    """A wheel for an older macOS runs, without what newer ones have; one for a newer macOS cannot be loaded."""
    built = _macos_of(build.tag)
    if build.macos is None or built is None:
        return []
    here = _numbers(build.macos)
    if built > here:
        text = f"MLX's wheel is for macOS {_dotted(built)} and newer ({build.tag}), and this is macOS {build.macos}"
        return [Finding("problem", "wheel", text, _AGAIN)]
    if built[0] < 26 <= here[0]:
        text = f"MLX's wheel is the one for macOS {_dotted(built)} ({build.tag}), and this is macOS {build.macos}"
        return [Finding("note", "wheel", f"{text}, for which there is another", _AGAIN)]
    return [Finding("ok", "wheel", f"{build.tag} on macOS {build.macos}")]


def _judge_kernels(build: Build) -> list[Finding]:
    if build.unreadable:
        return [Finding("warning", "kernels", build.unreadable, _AGAIN)]
    if build.kernels is None:
        return []
    if not _has_tensor_units(build.chip):
        return [Finding("ok", "kernels", f"{build.kernels} kernels for an M5, which {build.chip} does not use")]
    if not build.kernels:
        text = (
            f"{build.library} has no kernels for the neural accelerators of {build.chip}, and prompts are read slower"
        )
        return [Finding("warning", "kernels", text, f"install the wheel for macOS 26, not Homebrew's mlx: {_AGAIN}")]
    if build.macos is not None and _numbers(build.macos) < _TENSOR_MACOS:
        kernels = f"its {build.kernels} kernels for {build.chip}"
        text = f"MLX uses {kernels} from macOS {_dotted(_TENSOR_MACOS)}, and this is {build.macos}"
        return [Finding("warning", "kernels", text, "update macOS in System Settings > General")]
    return [Finding("ok", "kernels", f"{build.kernels} kernels for the neural accelerators of {build.chip}")]


def _judge_probe(build: Build) -> list[Finding]:
    if build.probe is None:
        return [
            Finding(
                "problem",
                "mlx",
                f"MLX does not compute: {build.failure}",
                "install it again: pip install --force-reinstall mlx",
            )
        ]
    found = build.probe
    listed = ", ".join(f"{name} {version}" for name, version in build.versions.items())
    findings = [Finding("ok", "mlx", f"computes on {found['device']} ({found['backend']}); {listed}")]
    if found["backend"] == "cpu" and build.macos is not None:
        text = "MLX computes on the CPU of this Mac, not on its GPU"
        findings.append(
            Finding("warning", "device", text, "a virtual machine has no Metal; otherwise install MLX again")
        )
    if found["backend"] == "cpu" and build.nvidia:
        text = "there is an NVIDIA GPU, and MLX's build for CUDA is not installed or finds no driver"
        findings.append(Finding("warning", "device", text, "pip install 'mlx[cuda13]', and see that nvidia-smi works"))
    if found["blas"]:
        text, _, remedy = str(found["blas"]).partition(": ")
        findings.append(Finding("warning", "blas", text, remedy))
    return findings


def _has_tensor_units(chip: str | None) -> bool:
    """Apple M5 and newer, Pro, Max and Ultra too."""
    words = (chip or "").split()
    generation = next((word[1:] for word in words if word[:1] == "M" and word[1:].isdigit()), "0")
    return int(generation) >= _WITH_TENSOR_UNITS


_PACKAGES = ("mlx", "mlx-metal", "mlx-cpu", "mlx-cuda-13", "mlx-cuda-12", "mlx-lm", "mlx-vlm")


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _tag(name: str) -> str | None:
    """The platform of the wheel that a package was installed from."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(name).read_text("WHEEL") or ""
    except PackageNotFoundError:
        return None
    tags = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Tag:")]
    return tags[0].rpartition("-")[2] if tags else None


def _library() -> Path | None:
    """MLX's Metal library, found without importing MLX."""
    from importlib.util import find_spec

    spec = find_spec("mlx")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return next((path for folder in folders if (path := Path(folder, "lib", "mlx.metallib")).exists()), None)


def _count(library: Path | None) -> tuple[int | None, str | None]:
    if library is None:
        return None, None
    try:
        return tensor_kernels(functions(library)), None
    except UnreadableLibrary as error:
        return None, str(error)


def _probe() -> tuple[dict[str, Any] | None, str | None]:
    command = [sys.executable, "-P", "-m", "mlx_serve.daemon.engine.probe"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"a product of two small matrices took more than {_SECONDS:.0f} s"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return None, lines[-1] if lines else f"its process ended with status {done.returncode}"
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found, None


def _macos_of(tag: str | None) -> tuple[int, ...] | None:
    """(15, 0) of `macosx_15_0_arm64`."""
    parts = (tag or "").split("_")
    return tuple(map(int, parts[1:3])) if parts[0] == "macosx" and len(parts) > 2 else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)).removesuffix(".0")
