"""launch: a coding agent, or another client, run against this daemon."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from urllib.parse import quote

from ..agents.config_file import UnreadableConfig, changed, difference, write
from ..agents.known_agents import AGENTS, Agent, find
from ..agents.model_choice import obvious, usable
from ..agents.setup import PLACEHOLDER, Served, Setup, hidden
from ..arguments.usage_error import UsageError
from ..client import ApiError
from ..display.tables import size, table
from ..display.terminal import clean, is_terminal, note
from ..session import CommandFailed, Session, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client

_MARGIN = 2048


def launch(session: Session) -> int:
    options = session.options
    if options.client is None:
        return _list(session)
    agent = find(options.client)
    if agent is None:
        known = ", ".join(each.name for each in AGENTS)
        raise UsageError(f"there is no client {options.client!r}; launch knows {known}")
    program = shutil.which(agent.program)
    if program is None and not options.print:
        raise CommandFailed(f"{agent.program} is not on your PATH", f"install it: {agent.install}")
    served = _served(session)
    try:
        setup = agent.setup(served, options.rest)
        line = [agent.program, *setup.arguments, *options.rest]
        if options.print:
            return _print(session, agent, served, setup, line)
        _warn(agent, served)
        _write(session, agent, served, setup)
    except UnreadableConfig as error:
        raise CommandFailed(str(error), f"see what it would get: mlx-serve launch {agent.name} --print") from error
    note(f"running {agent.program} with {served.model} at {served.url}")
    environ = {name: value for name, value in os.environ.items() if name not in setup.without} | setup.environ
    sys.stdout.flush()
    return os.execve(program or agent.program, line, environ)


def _list(session: Session) -> int:
    found = [(agent, shutil.which(agent.program)) for agent in AGENTS]
    if session.json:
        rows = [{"client": agent.name, "program": path, "install": agent.install} for agent, path in found]
        session.print_json({"clients": rows})
    else:
        print(
            table(("CLIENT", "PROGRAM"), [(agent.name, path or f"not here: {agent.install}") for agent, path in found])
        )
    return 0


def _served(session: Session) -> Served:
    """The daemon, started where that is needed, and the model. Raises NoDaemon, ApiError, CommandFailed."""
    client = session.daemon()
    status = client.get("/control/v1/status")
    model = _model(session, client)
    card = client.get(f"/v1/models/{quote(model, safe='')}")
    return Served(
        url=str(status["url"]),
        key=str(client.get("/control/v1/key")["key"] or PLACEHOLDER),
        model=model,
        context=_context(client, model, int(card.get("context_length") or 0)),
        capabilities=tuple(card["capabilities"]),
        home=session.target.home,
    )


def _context(client: Client, model: str, most: int) -> int:
    """A loaded model may have less than its own length, where memory is short."""
    loaded = [row for row in client.get("/control/v1/ps")["models"] if row["name"] == model]
    return min([int(row["context_length"]) for row in loaded if row["context_length"]] or [most])


def _model(session: Session, client: Client) -> str:
    """The model that is named, is meant, or is chosen on the terminal."""
    if session.options.model is not None:
        try:
            found = client.get(path_of(session.options.model))["model"]
        except ApiError as error:
            raise ApiError(error.status, error.message, error.hint or "mlx-serve list shows the models") from error
        if found["kind"] not in ("llm", "vlm"):
            raise CommandFailed(f"{session.options.model} does not chat: it is a model of the kind {found['kind']}")
        return str(found["name"])
    models = client.get("/control/v1/models")["models"]
    found = obvious(models, client.get("/control/v1/ps")["models"])
    if found is not None:
        return str(found["name"])
    choices = usable(models)
    if not choices:
        raise CommandFailed("no model that chats is installed", "pull one, such as: mlx-serve pull qwen3:8b")
    if session.options.print or session.json or not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
        names = ", ".join(str(each["name"]) for each in choices)
        raise CommandFailed(f"several models are installed ({names})", "choose one with --model NAME")
    return _chosen(choices)


def _chosen(choices: list[dict[str, Any]]) -> str:
    for number, model in enumerate(choices, 1):
        tools = "" if "tools" in model["capabilities"] else ", calls no tools"
        note(f"  {number}  {clean(model['name'])} ({size(model['size'])}{tools})")
    answer = _ask("Which model? [1] ") or "1"
    if answer.isascii() and answer.isdigit() and 0 < int(answer) <= len(choices):
        return str(choices[int(answer) - 1]["name"])
    names = [str(model["name"]) for model in choices]
    if answer in names:
        return answer
    raise CommandFailed(f"there is no model {answer!r}", f"answer with a number between 1 and {len(choices)}")


def _ask(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        note("")
    return answer.strip()


def _warn(agent: Agent, served: Served) -> None:
    if agent.tools and "tools" not in served.capabilities:
        note(f"{served.model} calls no tools, without which {agent.name} can only talk; --model NAME chooses another")
    if served.context and served.context < agent.needs + _MARGIN:
        note(
            f"{served.model} has a context of {served.context} tokens here, and {agent.name} begins with about "
            f"{agent.needs}; that may be too much; --model NAME chooses another"
        )


def _write(session: Session, agent: Agent, served: Served, setup: Setup) -> None:
    """Nothing is written but after a yes. Raises CommandFailed."""
    for file in changed(setup.files):
        if not session.options.yes:
            if not (is_terminal(sys.stdin) and is_terminal(sys.stderr)):
                raise CommandFailed(
                    f"{agent.name} needs {file.path}, which is not written without your word",
                    f"see it with mlx-serve launch {agent.name} --print, and agree with --yes",
                )
            note(clean(hidden(difference(file), served.key)))
            if _ask(f"Write {file.path}? [y/N] ").lower() not in ("y", "yes"):
                raise CommandFailed(f"{agent.name} was not run, because {file.path} was not to be written")
        write(file)
        note(f"wrote {file.path}")


def _print(session: Session, agent: Agent, served: Served, setup: Setup, line: list[str]) -> int:
    """What would be set, written and run; the key is not shown."""
    environ = {name: hidden(value, served.key) for name, value in setup.environ.items()}
    files = changed(setup.files)
    if session.json:
        session.print_json(
            {
                "client": agent.name,
                "model": served.model,
                "context_length": served.context,
                "url": served.url,
                "environment": environ,
                "unset": list(setup.without),
                "command": [hidden(word, served.key) for word in line],
                "files": [{"path": str(file.path), "content": hidden(file.content, served.key)} for file in files],
            }
        )
        return 0
    for file in files:
        print(f"# writes {file.path}, after asking:")
        print("\n".join(f"#   {row}" for row in clean(hidden(difference(file), served.key)).splitlines()))
    for name in setup.without:
        print(f"unset {name}")
    for name, value in environ.items():
        print(f"export {name}={shlex.quote(value)}")
    print(shlex.join([hidden(word, served.key) for word in line]))
    return 0
