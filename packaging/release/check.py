"""Whether a release is fit to be published: `python packaging/release/check.py [--python PYTHON]...`.

Builds twice from different folders, under another umask and another time zone, and compares every byte; looks at what
is in the files; has twine check them; installs the wheel in a clean environment of each Python and has it answer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import artifacts
import contents
import sources

VERSIONS = ("3.11", "3.12", "3.13")


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the release twice, and check it.")
    parser.add_argument(
        "--python", action="append", default=[], metavar="PYTHON", help="install with these (default: all found)"
    )
    parser.add_argument("--no-install", action="store_true", help="leave the installing out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlx-serve-check-") as folder:
        wheel, sdist = built_twice(Path(folder))
        looked_into(wheel, sdist)
        run("twine", sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist))
        for python in [] if options.no_install else options.python or pythons():
            installed(python, wheel, Path(folder))
    return 0


def built_twice(folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist. Exits when they are not the same bytes both times."""
    first = artifacts.build(folder / "first")
    os.environ["TZ"] = "Pacific/Kiritimati"
    time.tzset()
    second = artifacts.build(folder / "second")
    for one, other in zip(first, second, strict=True):
        if one.read_bytes() != other.read_bytes():
            sys.exit(f"{one.name} was built twice and is not the same: compare {one} and {other}")
        print(f"same bytes twice: {one.name}, {one.stat().st_size:,} bytes")
    (wheel,) = (folder / "first").glob("*.whl")
    (sdist,) = (folder / "first").glob("*.tar.gz")
    return wheel, sdist


def looked_into(wheel: Path, sdist: Path) -> None:
    tracked, version = sources.tracked(), wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        wrong = contents.of_wheel(archive.namelist(), tracked, version)
    with tarfile.open(sdist) as packed:
        wrong += contents.of_sdist([each.name for each in packed if each.isfile()], tracked, version)
    if wrong:
        sys.exit("\n".join(wrong))
    print("the wheel and the sdist have what they should, and nothing else")


def pythons() -> list[str]:
    """One of each version that there is, on PATH or among pyenv's. Exits where one is missing."""
    found = []
    for version in VERSIONS:
        kept = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
        python = shutil.which(f"python{version}")
        if python is None or not _works(python):
            python = str(kept[-1]) if kept else None
        if python is None:
            sys.exit(f"there is no Python {version} here; install it, or name those to try with --python")
        found.append(python)
    return found


def _works(python: str) -> bool:
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def installed(python: str, wheel: Path, folder: Path) -> None:
    """A clean environment, a daemon on a free port, one answer of the starter model."""
    place = folder / f"environment-{abs(hash(python))}"
    run("venv", python, "-m", "venv", str(place))
    begun = time.monotonic()
    pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    run("pip", *pip, "install", "--quiet", str(wheel), "-c", str(sources.ROOT / "constraints.txt"))
    run("pip check", *pip, "check")
    seconds = time.monotonic() - begun
    with tempfile.TemporaryDirectory(prefix="mlxs-") as home:
        program = str(place / "bin" / "mlx-serve")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "MLX_SERVE_HOME": f"{home}/h",
            "MLX_SERVE_PORT": str(free_port()),
            "MLX_SERVE_HOST": "127.0.0.1",
        }
        answered(program, environment)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file() and not path.is_symlink())
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"{version}: installed in {seconds:.0f} s, {size / 1e6:,.0f} MB, and the starter answers")
    shutil.rmtree(place)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answered(program: str, environment: dict[str, str]) -> None:
    daemon = subprocess.Popen(
        [program, "start", "--foreground"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        sockets = Path(environment["MLX_SERVE_HOME"], "run")
        deadline = time.monotonic() + 60
        while not list(sockets.glob("*.sock")):
            if daemon.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the daemon of the installed wheel does not start (status {daemon.poll()})")
            time.sleep(0.05)
        for words in (["pull", "starter"], ["run", "starter", "What does mlx-serve ps show?"]):
            done = subprocess.run([program, *words], env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0 or not done.stdout.strip():
                sys.exit(f"mlx-serve {' '.join(words)} failed: {done.stderr}")
    finally:
        daemon.terminate()
        daemon.wait()


def run(what: str, *command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{what} fails:\n{done.stdout}")


if __name__ == "__main__":
    sys.exit(main())
