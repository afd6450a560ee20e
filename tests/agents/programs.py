"""The agents' programs: which versions, where they are, and how they are installed from npm and PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "@anthropic-ai/claude-code": "2.1.332",
    "@openai/codex": "0.171.0",
    "@earendil-works/pi-coding-agent": "1.6.0",
    "opencode-ai": "1.18.33",
    "@qwen-code/qwen-code": "0.24.4",
    "@continuedev/cli": "1.5.47",
    "node": "22.23.3",  # pi and Qwen Code want Node 22, whatever this machine has
}
SCRIPTS = {
    "@anthropic-ai/claude-code": "install.cjs",
    "opencode-ai": "postinstall.mjs",
    "node": "installArchSpecificPackage.js",
}
"""What these packages run once they are there, for npm asks first or does not run it."""
AIDER = "aider-chat==0.86.2"
"""From PyPI; it asks for Python below 3.13."""
FOLDER = Path(os.environ.get("MLX_SERVE_AGENTS") or Path(__file__).parents[2] / ".agents")
MODULES = FOLDER / "node_modules"
VENV = FOLDER / "aider"


def program(name: str) -> Path:
    return VENV / "bin" / name if name == "aider" else MODULES / ".bin" / name


def install() -> None:
    """Install every package at its version. Raises CalledProcessError where npm, pip or a script fails."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    npm = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--save-exact", "--prefix", str(FOLDER)]
    subprocess.run([*npm, *wanted], check=True)
    for package, script in SCRIPTS.items():
        subprocess.run(["node", script], cwd=MODULES / package, check=True)
    if sys.version_info < (3, 13):
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, AIDER], check=True)


if __name__ == "__main__":
    try:
        install()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"the agents could not be installed; this needs npm, pip and the network: {error}")
