"""A daemon of launchd in the user's session: it answers, this shell finds it, SIGTERM ends it well. macOS only."""

from __future__ import annotations

import os
import plistlib
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mac.trial import COMMAND, Trial, TrialFailed, words

LABEL = "org.mlx-serve.check"
SECONDS = 60.0


def agent(trial: Trial) -> bytes:
    """A property list as `launchctl bootstrap` takes it. Its environment is launchd's own, but for the home."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": [*COMMAND, "start", "--foreground", "--host", "127.0.0.1", "--port", str(trial.port)],
            "EnvironmentVariables": {"MLX_SERVE_HOME": str(trial.home)},
            "RunAtLoad": True,
            "ProcessType": "Interactive",
            "ExitTimeOut": 45,
            "StandardErrorPath": str(trial.home / "launchd.log"),
        }
    )


def last_exit(text: str) -> str:
    """Of what `launchctl print` prints; empty while it runs."""
    found = re.search(r"last exit code = ([^\n]*)", text)
    return found[1].strip() if found else ""


def launchctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["launchctl", *arguments], capture_output=True, text=True, check=False)


def wait(trial: Trial) -> int:
    """Its pid, as soon as this shell's command finds it."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return trial.pid
        except TrialFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main() -> int:
    trial = Trial()  # never started by itself
    domain = f"gui/{os.getuid()}"
    path = trial.home / f"{LABEL}.plist"
    path.write_bytes(agent(trial))
    problems: list[str] = []
    try:
        started = launchctl("bootstrap", domain, str(path))
        if started.returncode != 0:
            raise TrialFailed(f"launchctl bootstrap: {started.stderr.strip()}")
        pid = wait(trial)
        print(f"launchd's daemon has pid {pid}")
        done = trial.stream(trial.pull("starter"), words(20, 1), 32)
        print(f"it answered with {done.tokens if done else 0} tokens")
        launchctl("kill", "SIGTERM", f"{domain}/{LABEL}")
        deadline = time.monotonic() + SECONDS
        while not (code := last_exit(launchctl("print", f"{domain}/{LABEL}").stdout)) and time.monotonic() < deadline:
            time.sleep(0.5)
        print(f"last exit code: {code or 'none'}")
        if code != "0":
            problems.append("SIGTERM did not end it with status 0")
        problems += [f"left behind: {path}" for path in (trial.home / "run").glob("*.sock")]
    except TrialFailed as error:
        problems.append(str(error))
    finally:
        launchctl("bootout", f"{domain}/{LABEL}")
        log = trial.home / "launchd.log"
        print(log.read_text(errors="replace")[-2000:] if log.exists() else "")
        trial.close()
    print("\n".join(f"PROBLEM: {each}" for each in problems) or "no problem")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
