"""Asks launchd to run the service, as an agent of the logged-in user or as a daemon of the system: `man launchctl`."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from . import account, launchd_plist, tool
from .description import Description, State
from .service_error import ServiceError
from .tool import Outcome
from .unit_file import UnitFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_SYSTEM = Path("/Library/LaunchDaemons")
_AGENTS = "~/Library/LaunchAgents"
_POLL_SECONDS = 0.2
_TAIL_BYTES = 1 << 14
# Of the service itself, whose lines are indented by one tab; what it offers to others has deeper ones.
_FACT = re.compile(r"^\t(state|pid|last exit code) = (.+)$", re.MULTILINE)
_RUNS = ("running", "spawn scheduled", "spawning", "xpcproxy")


class Launchd:
    """One service of the domain that `description.boot` names. `folder` is where its file is, unless the usual
    place."""

    kind = "launchd"

    def __init__(self, description: Description, folder: Path | None = None) -> None:
        self.description = description
        self.name = launchd_plist.label(description)
        self._domain = "system" if description.boot else f"gui/{os.getuid()}"
        self._service = f"{self._domain}/{self.name}"
        usual = _SYSTEM if description.boot else Path(_AGENTS).expanduser()
        self.file = UnitFile((folder or usual) / f"{self.name}.plist", launchd_plist.plist(description))

    @property
    def logs(self) -> str:
        return f"tail {self.description.log}"

    def check(self) -> None:
        """Raises ServiceError where the domain is not there: nobody is logged in at the screen."""
        done = tool.call("launchctl", "print", self._domain)
        if done.code != 0:
            raise self._failure("print", done)

    def state(self) -> State:
        found = tool.call("launchctl", "print", self._service)
        facts = dict(_FACT.findall(found.output)) if found.code == 0 else {}
        status = re.match(r"\d+", facts.get("last exit code", ""))
        active = "pid" in facts or facts.get("state") in _RUNS
        return State(
            loaded=found.code == 0,
            enabled=self.file.read() is not None and not self._is_disabled(),
            active=active,
            pid=int(facts["pid"]) if "pid" in facts else None,
            exit_status=int(status[0]) if status and not active else None,
        )

    def _is_disabled(self) -> bool:
        """`"label" => disabled`, or `=> true` before macOS 13."""
        listed = self._do("print-disabled", self._domain).output
        return re.search(rf'"{re.escape(self.name)}" => (disabled|true)', listed) is not None

    def installed_account(self) -> str | None:
        found = self.file.read()
        return None if found is None else launchd_plist.account(found)

    def load(self) -> None:
        """launchd starts the daemon at once (RunAtLoad)."""
        self.unload()
        self._make_log_folder()
        off = self._is_disabled()
        if off:  # launchd does not load what is disabled
            self.enable()
        try:
            self._do("bootstrap", self._domain, str(self.file.path))
        finally:
            if off:
                self.disable()

    def _make_log_folder(self) -> None:
        """As the user of the service, who may put anything in place of a folder of its home."""
        import subprocess

        folder = self.description.log.parent
        owner = account.named(self.description.user) if self.description.boot else None
        try:
            subprocess.run(
                ["/bin/mkdir", "-p", "-m", "700", str(folder)],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=tool.QUICK_SECONDS,
                user=owner.name if owner else None,
                group=owner.group if owner else None,
                extra_groups=[] if owner else None,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ServiceError(f"cannot make the folder {folder} for the log ({error})", "make it by hand") from error

    def unload(self) -> None:
        """With a SIGTERM first, for when launchd unloads it waits for a minute at most."""
        self.stop()
        if self.state().loaded:
            self._do("bootout", self._service, seconds=tool.STOP_SECONDS)
            self._wait(lambda: not self.state().loaded)

    def forget(self) -> None:
        if self._is_disabled():
            self.enable()

    def enable(self) -> None:
        self._do("enable", self._service)

    def disable(self) -> None:
        self._do("disable", self._service)

    def start(self) -> None:
        state = self.state()
        if not state.loaded:
            self.load()
        elif not state.active:
            self._make_log_folder()
            self._do("kickstart", self._service)

    def stop(self) -> None:
        """A daemon that ends after SIGTERM has not crashed, so launchd lets it be."""
        if self.state().active:
            self._do("kill", "SIGTERM", self._service)
            self._wait(lambda: not self.state().active)

    def last_words(self) -> str | None:
        try:
            with open(self.description.log, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
                return tool.sentence(file.read().decode(errors="replace"))
        except OSError:
            return None

    def advice(self) -> str | None:
        if self.description.boot:
            return None
        return "it runs while you are logged in at the Mac; for a Mac without a login, see --boot"

    def _wait(self, done: Callable[[], bool]) -> None:
        """For the daemon's end."""
        deadline = time.monotonic() + tool.STOP_SECONDS
        while not done():
            if time.monotonic() >= deadline:
                raise ServiceError(f"the service did not end within {tool.STOP_SECONDS:.0f} s", f"see: {self.logs}")
            time.sleep(_POLL_SECONDS)

    def _do(self, *words: str, seconds: float = tool.QUICK_SECONDS) -> Outcome:
        done = tool.call("launchctl", *words, seconds=seconds)
        if done.code != 0:
            raise self._failure(words[0], done)
        return done

    def _failure(self, verb: str, done: Outcome) -> ServiceError:
        text = done.error.lower()
        if "not permitted" in text or "not privileged" in text or "permission denied" in text:
            return ServiceError(f"launchd refuses ({done.last})", "run the same command with sudo")
        if not self.description.boot and ("domain" in text or done.code in (112, 125)):
            return ServiceError(
                f"launchd has no session for this user ({done.last})",
                "log in at the Mac's screen, or install for the whole system, with sudo and --boot",
            )
        return ServiceError(f"launchctl {verb} failed ({done.last})", f"see: {self.logs}")
