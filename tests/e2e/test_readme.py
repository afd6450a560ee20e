"""What the README and the documents tell a user to type, typed as it stands there, at one daemon."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.hub.server import Hub
from support.documented_steps import Reader, Step, steps
from support.live_daemon import clean_environment, run_command
from support.ports import free_port

from mlx_serve.control.server import api
from mlx_serve.handlers.routes import ROUTES, label

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
STARTER = ROOT / "store" / "builtins" / "starter"
REPOSITORIES = ("mlx-community/Qwen3-0.6B-4bit", "Qwen/Qwen3-0.6B")
ELSEWHERE = {
    "mlx-serve run starter < question.txt": "a file of the reader's",
    'mlx-serve launch claude --model qwen3:8b -- -p "What does this repository do?"': "for `make agents`",
    'mlx-serve run starter-vl "Which colour is this?" --image docs/blue-square.png': "tests/control has it",
    "mlx-serve bench starter": "takes a while, and tests/control has it",
    "mlx-serve bench starter -c 1,4 --prompt 256 --tokens 64 --json": "likewise",
    "mlx-serve doctor": "fails where the machine that runs the tests has a problem",
    "mlx-serve doctor --json": "likewise",
    "mlx-serve service install": "changes the machine, and tests/control has it",
}
OF_COMMANDS = {
    "mlx-serve start --port 8001 --preload starter": "a port that may be taken",
    "mlx-serve cancel 9f86d081884c7d65": "nothing with such an id runs",
    "mlx-serve logs -f -n 20": "goes on for ever",
    "mlx-serve bench starter -c 1,4 --prompt 256 --tokens 64": "takes a while, and tests/control has it",
}
"""Commands that are not run, and why."""
RUN = ("endpoints.md", "page.md", "recipes.md", "install.md", "troubleshooting.md", "chat.md", "launch.md")
BY_THEMSELVES = ("commands.md",)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """The names of repositories are the documents', their files those of a model that is small."""
    with tempfile.TemporaryDirectory(prefix="mlxs-") as folder, Hub() as hub:
        for repository in REPOSITORIES:
            hub.add(repository, {path.name: path for path in STARTER.iterdir()})
        environ = clean_environment() | {
            "MLX_SERVE_HOME": f"{folder}/home",
            "MLX_SERVE_PORT": str(free_port()),
            "MLX_SERVE_HOST": "127.0.0.1",
            "TMPDIR": folder,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": f"{folder}/hub",
        }
        try:
            yield Reader(environ, Path(folder))
        finally:
            run_command("stop", "--all", "--force", environ=environ)


def told(document: Path) -> list[Step]:
    return [step for step in steps(document) if step.text.partition("  #")[0].strip() not in ELSEWHERE]


def test_no_document_has_a_command_that_nobody_runs() -> None:
    """Each that has some is among those that are run, or every command of it is excused, and nothing is for nothing."""
    found = {path.name: list(steps(path)) for path in DOCS.glob("*.md")}
    for name, told_here in found.items():
        assert name in (*RUN, *BY_THEMSELVES) or all(step.text in ELSEWHERE for step in told_here), name
    everything = {step.text.partition("  #")[0].strip() for each in (*found.values(), steps(README)) for step in each}
    assert set(ELSEWHERE) <= everything


@pytest.mark.parametrize("name", RUN)
def test_every_command_and_program_of_a_document_works_as_written(
    reader: Reader, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a checkout, whose files it names."""
    monkeypatch.chdir(ROOT)
    found = told(DOCS / name)
    assert found
    for step in found:
        reader.do(step)


def test_every_command_and_program_of_the_readme_works_as_written(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for step in told(README):
        assert reader.do(step) or step.kind == "curl", step


def test_the_examples_of_the_other_commands_work_as_written(reader: Reader) -> None:
    """Those that the README does not run."""
    run = {step.text.split()[1] for step in told(README) if step.kind == "mlx-serve"}
    texts = [step.text for step in told(DOCS / "commands.md")]
    assert set(OF_COMMANDS) <= set(texts), "what is excused is there"
    for text in ("mlx-serve start", "mlx-serve pull starter"):
        reader.do(Step("mlx-serve", text))
    for text in texts:
        if text not in OF_COMMANDS and text.split()[1] not in run:
            reader.do(Step("mlx-serve", text))


@pytest.mark.parametrize("path", sorted({label(path) for path, _, _ in ROUTES}))
def test_the_endpoints_are_all_there_with_a_command(path: str) -> None:
    """Those that can only refuse are named."""
    text = (DOCS / "endpoints.md").read_text()
    commands = "\n".join(step.text for step in told(DOCS / "endpoints.md"))
    if path in ("/v1/responses/{id}/cancel", "/api/push"):
        assert path in text
        return
    for pattern, value in (("/v1/models/{id}", "/v1/models/starter"), ("{id}", "$ID"), ("{digest}", "$DIGEST")):
        path = path.replace(pattern, value)
    assert f":8000{path.replace('{file}', 'main.js')}" in commands


@pytest.mark.parametrize(("methods", "path"), [row[:2] for row in api._ROUTES if row[1] != "/<path:path>"])
def test_the_routes_of_the_command_are_all_there_too(methods: str, path: str) -> None:
    """With a command, or for what ends something by name."""
    text = (DOCS / "endpoints.md").read_text()
    place = f"{api.PREFIX}{path.partition('/<')[0]}"
    if (methods, path) in (("POST", "/shutdown"), ("DELETE", "/requests/<number:path>")):
        assert f"`{methods} {place}" in text
        return
    sent = {"GET": "mlx-serve", "POST": "-d '|-X POST", "DELETE": "-X DELETE"}[methods]
    commands = [step.text for step in told(DOCS / "endpoints.md") if f"http://mlx-serve{place}" in step.text]
    assert any(word in command for word in sent.split("|") for command in commands)


EVERYDAY = ("start", "pull", "quantize", "run", "list", "show", "ps", "copy", "remove", "unload", "stop")


@pytest.mark.parametrize("word", EVERYDAY)
def test_the_readme_shows_every_everyday_command(word: str) -> None:
    assert any(step.text.startswith(f"mlx-serve {word}") for step in told(README) if step.kind == "mlx-serve")
