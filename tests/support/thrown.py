"""Throws hostile requests at a daemon, several at a time, and says what is wrong with an answer."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from support.hostile_requests import Attack
from support.waiting import GUARD

from mlx_serve.handlers.error_bodies import dialect

OWN_WORDS = ("keep_alive",)
"""Fields that Ollama's own sentences, which we keep to, do not name."""
REFUSALS = (400, 404, 405, 413, 415, 431)
_NAME = re.compile(r"\w+")


class Thrower:
    """Of requests to a port of this machine."""

    def __init__(self, port: int, together: int = 4) -> None:
        self._port = port
        self._together = together
        self._free: list[http.client.HTTPConnection] = []
        self.statuses: dict[int, int] = {}
        self._counting = threading.Lock()

    def complaints(self, attacks: Iterable[Attack]) -> list[str]:
        """What is wrong with the answers."""
        with ThreadPoolExecutor(self._together) as pool:
            said = [each for each in pool.map(self._throw, attacks) if each]
        while self._free:
            self._free.pop().close()
        return said

    def _throw(self, attack: Attack) -> str:
        try:
            status, headers, body = self._exchange(attack)
        except (OSError, http.client.HTTPException) as error:
            return f"{attack.method} {attack.endpoint}: {attack.why}: {error!r}"
        with self._counting:
            self.statuses[status] = self.statuses.get(status, 0) + 1
        said = wrong_with(attack, status, headers, body)
        return f"{attack.method} {attack.endpoint}: {attack.why}: {said}: {status} {body[:200]!r}" if said else ""

    def _exchange(self, attack: Attack) -> tuple[int, dict[str, str], bytes]:
        kept = self._free.pop() if self._free else None
        if kept is not None:
            try:
                return self._asked(kept, attack)
            except (ConnectionError, http.client.BadStatusLine):
                pass  # it was idle for too long
        return self._asked(http.client.HTTPConnection("127.0.0.1", self._port, timeout=GUARD), attack)

    def _asked(self, connection: http.client.HTTPConnection, attack: Attack) -> tuple[int, dict[str, str], bytes]:
        try:
            connection.putrequest(attack.method, attack.path, skip_accept_encoding=True)
            for name, value in attack.headers:
                connection.putheader(name, value)
            if attack.body is not None:
                connection.putheader("Content-Length", str(len(attack.body)))
            connection.endheaders(attack.body)
            answer = connection.getresponse()
            body = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._free.append(connection)
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def wrong_with(attack: Attack, status: int, headers: dict[str, str], body: bytes) -> str:
    """One sentence, or "" for an answer as it has to be."""
    if status == 503 and "retry-after" in headers:
        return ""
    if status >= 500:
        return "a failure of the server"
    if b"internal error" in body:
        return "a failure of the server in an answer"
    if status < 400:
        return "it was not refused" if attack.wrong else ""
    if status not in REFUSALS:
        return "another status than that of a refusal"
    if attack.method == "HEAD" or not body:
        return "" if attack.method == "HEAD" else "no document"
    nameless = status == 404 and attack.field == "model" and dialect(attack.path) == "ollama"  # as Ollama has it
    if attack.wrong and attack.field and status != 400 and not nameless:
        return "no 400"
    return _shape(attack, json.loads(body))


def _shape(attack: Attack, document: object) -> str:
    spoken = dialect(attack.path.partition("?")[0])
    match spoken, document:
        case "openai", {"error": {"message": str(), "type": "invalid_request_error", "param": param, "code": str()}}:
            named = _NAME.findall(param or "")
        case "anthropic", {
            "type": "error",
            "error": {"type": "invalid_request_error" | "not_found_error", "message": str(text)},
        }:
            named = _NAME.findall(text)
        case "ollama", {"error": str(text)}:
            named = _NAME.findall(text)
        case _:
            return "not the dialect's shape of an error"
    if not (attack.wrong and attack.field):
        return ""
    wanted = _NAME.findall(attack.field)
    if spoken == "ollama" and wanted[-1] in OWN_WORDS:
        return ""
    return "" if wanted[-1] in named or (wanted[0] in named and len(wanted) > 1) else f"it does not name {attack.field}"
