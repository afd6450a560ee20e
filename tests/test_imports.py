"""Imports point one way, and what must start fast or live without MLX does not import what it must not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.imports import ROOT, imported, inner, is_package, modules, package_of, within

HEAVY = ("mlx", "mlx_lm", "mlx_vlm", "transformers", "tokenizers", "huggingface_hub", "numpy", "torch", "llguidance")

# One row a package: what its modules may import beside their neighbours. An entry is a package, which stands for the
# modules directly in it, or one module; "" is the package itself, for its version.
RULES: dict[str, tuple[str, ...]] = {
    "store": ("store.disk", "store.ingest"),
    "store.system": (),
    "store.disk": ("store", "store.system"),
    "store.inspect": ("store", "store.disk"),
    "store.hub": ("store", "store.disk", "store.inspect"),
    "store.hub.fetch": ("store", "store.disk", "store.hub", "store.system"),
    "store.ingest": ("store", "store.system", "store.disk", "store.inspect", "store.hub", "store.hub.fetch"),
    "daemon.engine": (
        "",
        "daemon.protocol",
        "daemon.engine.cache",
        *("daemon.engine.cpu", "daemon.engine.cuda.cudnn_files"),
        "daemon.engine.kernels",
        "daemon.engine.model",
        "daemon.engine.generate",
        "daemon.engine.grammar",
        "daemon.engine.prompt",
        "daemon.engine.encode",
        "daemon.engine.embed",
        "daemon.engine.rerank",
        "daemon.engine.vision",
        "daemon.engine.warmup",
    ),
    "daemon.engine.warmup": (
        *("daemon.protocol", "daemon.engine.device", "daemon.engine.shapes", "daemon.engine.cache"),
        *("daemon.engine.model", "daemon.engine.generate", "daemon.engine.generate.prefilling"),
        *("daemon.engine.prompt", "daemon.engine.kernels"),
    ),
    "daemon.engine.prefix": ("daemon.engine.cache", "daemon.engine.shares"),
    "daemon.engine.prefix.disk": ("daemon.prefix_folder", "daemon.engine.prefix"),
    "daemon.engine.prefix.disk.reading": (
        *("daemon.engine.cpu.cores", "daemon.engine.prefix", "daemon.engine.prefix.disk"),
    ),
    "daemon.engine.texts": ("daemon.protocol", "daemon.engine.prompt", "daemon.engine.prompt.text"),
    "daemon.engine.encode": (
        *("daemon.protocol", "daemon.engine.cache", "daemon.engine.device", "daemon.engine.model"),
        *("daemon.engine.prompt", "daemon.engine.texts"),
        *(
            "daemon.engine.generate.prefilling.pace",
            "daemon.engine.generate.prefilling.turns",
            "daemon.engine.shapes",
            "daemon.engine.shares",
        ),
    ),
    "daemon.engine.embed": (
        *(
            "daemon.protocol",
            "daemon.engine.cpu",
            "daemon.engine.device",
            "daemon.engine.shapes",
            "daemon.engine.encode",
            "daemon.engine.model",
        ),
        *("daemon.engine.prompt", "daemon.engine.texts"),
    ),
    "daemon.engine.rerank": (
        *(
            "daemon.protocol",
            "daemon.engine.cache",
            "daemon.engine.cpu",
            "daemon.engine.device",
            "daemon.engine.shapes",
            "daemon.engine.encode",
        ),
        *("daemon.engine.model", "daemon.engine.prompt", "daemon.engine.texts"),
    ),
    "daemon.engine.tokenize": (
        *("daemon.protocol", "daemon.engine.process", "daemon.engine.embed", "daemon.engine.encode"),
        *("daemon.engine.model", "daemon.engine.prompt", "daemon.engine.prompt.text", "daemon.engine.vision"),
        "daemon.engine.kernels",
    ),
    "daemon.engine.output": (),
    "daemon.engine.output.formats": (
        *("daemon.engine.output", "daemon.engine.output.formats.notation", "daemon.engine.grammar.call_shape"),
        *("daemon.engine.output.formats.json_objects", "daemon.engine.output.formats.markup"),
    ),
    "daemon.engine.output.formats.notation": ("daemon.engine.output",),
    "daemon.engine.output.formats.json_objects": (
        *("daemon.engine.output.formats", "daemon.engine.output.formats.markup"),
        *("daemon.engine.output.formats.notation", "daemon.engine.grammar.call_shape"),
    ),
    "daemon.engine.output.formats.markup": (
        *("daemon.engine.output", "daemon.engine.output.formats", "daemon.engine.output.formats.notation"),
        "daemon.engine.grammar.call_shape",
    ),
    "daemon.engine.cache": ("daemon.engine.device", "daemon.engine.shapes", "daemon.engine.cuda"),
    "daemon.engine.cpu": ("daemon.engine.device", "daemon.engine.instructions", "daemon.engine.kernels"),
    "daemon.engine.cuda": (),
    "daemon.engine.model": (
        *("daemon.protocol", "daemon.parameters", "daemon.engine.device", "daemon.engine.shapes"),
        *("daemon.engine.cache", "daemon.engine.cpu", "daemon.engine.cuda", "daemon.engine.kernels"),
        *("daemon.engine.output", "daemon.engine.output.formats"),
        *("daemon.engine.prompt.prompt_frames", "daemon.engine.prompt.insertion.markers"),
        "daemon.engine.prompt.text.plain_tokenizer",
    ),
    "daemon.engine.kernels": ("daemon.engine.instructions",),
    "daemon.engine.vision": (
        *("daemon.protocol", "daemon.engine.device", "daemon.engine.model", "daemon.engine.prompt.prompt_frames"),
        "daemon.engine.prompt.pictures",
    ),
    "daemon.engine.grammar": ("daemon.protocol", "daemon.engine.output", "daemon.engine.grammar.values"),
    "daemon.engine.grammar.values": ("daemon.engine.grammar",),
    "daemon.engine.prompt": (
        *("daemon.protocol", "daemon.engine.process", "daemon.engine.texts", "daemon.engine.prompt.pictures"),
        *("daemon.engine.grammar", "daemon.engine.output.formats", "daemon.engine.prompt.chat"),
        *("daemon.engine.prompt.insertion", "daemon.engine.prompt.text", "daemon.engine.cpu.cores"),
    ),
    "daemon.engine.prompt.chat": (
        *("daemon.protocol", "daemon.engine.grammar", "daemon.engine.output.formats"),
        "daemon.engine.output.formats.markup.deepseek",
        *("daemon.engine.prompt", "daemon.engine.prompt.environment", "daemon.engine.prompt.text"),
    ),
    "daemon.engine.prompt.insertion": ("daemon.protocol", "daemon.engine.prompt", "daemon.engine.prompt.text"),
    "daemon.engine.prompt.pictures": (
        *("daemon.protocol", "daemon.engine.process", "daemon.engine.prompt", "daemon.engine.prompt.text"),
    ),
    "daemon.engine.prompt.text": ("daemon.protocol", "daemon.engine.prompt"),
    "daemon.engine.generate": (
        "daemon.protocol",
        "daemon.parameters",
        "daemon.engine",
        "daemon.engine.cache",
        "daemon.engine.cpu",
        *("daemon.engine.generate.admission", "daemon.engine.generate.memory"),
        *("daemon.engine.generate.prefilling", "daemon.engine.generate.sampling"),
        "daemon.engine.grammar",
        "daemon.engine.model",
        "daemon.engine.output",
        "daemon.engine.output.formats",
        "daemon.engine.prefix",
        "daemon.engine.prefix.disk",
        "daemon.engine.prefix.disk.reading",
        "daemon.engine.prompt",
        "daemon.engine.vision",
    ),
    "daemon.engine.generate.admission": (
        *("daemon.protocol", "daemon.engine", "daemon.engine.model", "daemon.engine.output", "daemon.engine.prompt"),
        *("daemon.engine.vision", "daemon.engine.generate", "daemon.engine.generate.memory"),
        *("daemon.engine.generate.prefilling", "daemon.engine.generate.sampling"),
    ),
    "daemon.engine.generate.memory": (
        *("daemon.engine.cache", "daemon.engine.vision"),
        *("daemon.engine.generate", "daemon.engine.generate.prefilling"),
    ),
    "daemon.engine.generate.prefilling": (
        *("daemon.protocol", "daemon.engine", "daemon.engine.generate", "daemon.engine.generate.sampling"),
        *("daemon.engine.model", "daemon.engine.prefix", "daemon.engine.vision"),
    ),
    "daemon.engine.generate.sampling": (
        *("daemon.protocol", "daemon.parameters", "daemon.engine.device", "daemon.engine.output"),
    ),
    "daemon.engine.quantize": (
        *("daemon.protocol", "daemon.engine", "daemon.engine.cpu.cores", "daemon.engine.encode"),
        *("daemon.engine.model", "daemon.engine.vision"),
    ),
    "daemon.protocol": (),
    "daemon.settings": (),
    "daemon.logs": (),
    "daemon.workers": ("daemon.protocol", "daemon.errors", "daemon.process_memory", "store.disk.scratch"),
    "daemon.tasks": (
        *("daemon.protocol", "daemon.errors", "daemon.keep_awake", "daemon.settings", "daemon.store_threads"),
        *("daemon.workers", "store", "store.disk.manifests", "store.inspect.weights", "store.ingest.builtin"),
    ),
    "daemon.residency": (
        *("daemon.protocol", "daemon.errors", "daemon.keep_awake", "daemon.settings", "daemon.store_threads"),
        *(
            "daemon.memory_pressure",
            "daemon.prefix_folder",
            "daemon.workers",
            "daemon.tasks",
            "store",
            "store.inspect.architectures",
        ),
    ),
    "daemon.fetching": ("daemon.errors", "store.hub.address_scope", "store.hub.certificates"),
    "daemon.requests": ("daemon.errors",),
    "daemon.reload": (
        *("daemon.context", "daemon.logs", "daemon.parameters", "daemon.settings", "daemon.store_threads"),
        *("store", "store.disk.manifests"),
    ),
    "daemon.http": ("daemon.context", "daemon.errors"),
    "daemon": (
        *("daemon.settings", "daemon.logs", "daemon.tasks", "daemon.residency", "daemon.http", "daemon.fetching"),
        *("daemon.requests", "daemon.reload"),
        *("store", "store.disk.scratch", "control.socket", "control.server", "handlers", ""),
    ),
    "handlers": (
        *("handlers.guard", "handlers.openai", "handlers.ollama", "handlers.anthropic", "handlers.jina"),
        *("handlers.pictures", "handlers.retrieval", "handlers.responses", "handlers.tokens"),
        *("handlers.api_document", "handlers.page"),
        *("daemon", "daemon.protocol", "daemon.requests", "daemon.residency", "daemon.settings.duration"),
        *("store", "store.disk.manifests"),
    ),
    "handlers.api_document": (
        *("handlers", "handlers.openai", "handlers.responses", "handlers.ollama", "handlers.jina", "handlers.tokens"),
        *("handlers.anthropic", "handlers.page", "handlers.api_document.answers"),
    ),
    "handlers.api_document.answers": (),
    "handlers.guard": ("handlers", "handlers.page", "daemon.settings"),
    "handlers.page": (
        *("handlers", "daemon", "daemon.protocol", "daemon.residency", "daemon.tasks"),
        *("store",),
    ),
    "handlers.pictures": ("handlers", "daemon", "daemon.fetching", "daemon.protocol"),
    "handlers.retrieval": (*("handlers", "daemon.errors", "daemon.protocol", "daemon.requests", "daemon.residency"),),
    "handlers.jina": ("handlers", "handlers.retrieval", "daemon.protocol"),
    "handlers.tokens": (
        *("handlers", "handlers.openai", "handlers.pictures", "handlers.retrieval"),
        *("daemon.errors", "daemon.protocol", "store.installed"),
    ),
    "handlers.anthropic": (
        *("handlers", "handlers.openai", "handlers.pictures", "handlers.tokens"),
        *("daemon.errors", "daemon.protocol", "daemon.store_threads", "store", "store.installed"),
    ),
    "handlers.openai": (
        *("handlers", "handlers.pictures", "handlers.retrieval"),
        *("daemon.protocol", "daemon.parameters", "daemon.residency"),
        *("daemon.store_threads", "store"),
    ),
    "handlers.responses": (
        *("handlers", "handlers.guard.keys", "handlers.openai", "handlers.pictures", "handlers.tokens"),
        *("daemon.errors", "daemon.protocol", "daemon.requests", "daemon.residency", "store.installed"),
    ),
    "handlers.ollama": (
        *("handlers", "handlers.openai", "handlers.pictures", "handlers.retrieval"),
        *("daemon", "daemon.protocol", "daemon.residency", "daemon.tasks"),
        *("store", "store.disk.manifests", "store.disk.blobs", "store.inspect"),
    ),
    "control": (),
    "control.server": (
        *("control", "daemon", "daemon.protocol", "daemon.requests", "daemon.residency", "daemon.settings"),
        *("daemon.logs", "daemon.reload.model_defaults", "daemon.tasks", "store", "store.inspect.recommended"),
    ),
    "control.cli": ("", "control", "control.cli.arguments", "control.cli.display"),
    "control.cli.arguments": ("control.cli.display",),
    "control.cli.display": (),
    "control.cli.agents": (),
    "control.cli.bench": (),
    "control.cli.doctor": ("", "control", "control.cli", "control.cli.display"),
    "control.cli.commands": (
        *("", "control", "control.cli", "control.cli.agents", "control.cli.arguments", "control.cli.bench"),
        *("control.cli.display", "control.cli.doctor", "control.service"),
    ),
    "control.service": (),
}
# Stems that stand in several folders because they are the same thing there: an entry point, a tree of errors, or one
# endpoint, command or model kind in each dialect.
SHARED_STEMS = {
    *("__init__", "main", "errors", "bodies"),
    *("chat", "generate", "models", "pull", "create"),
}

EVERY = list(modules())
PACKAGES = sorted({package_of(name, path) for name, path in EVERY if path.name != "__init__.py"})


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_what_its_rule_allows(package: str) -> None:
    """Types too: a picture of the imports is a picture of who knows whom."""
    allowed = {package, *RULES[package]}
    for name, path in EVERY:
        if package_of(name, path) != package:
            continue
        for target in inner(name, path, typing=True):
            home = target if is_package(target) else target.rpartition(".")[0]
            assert target in allowed or home in allowed, f"{name} imports {target}"


def test_every_rule_is_about_a_package_that_is_there() -> None:
    assert set(RULES) == set(PACKAGES)


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not even for types, or inside a function."""
    graph = {name: {target for target in inner(name, path, typing=True) if target != name} for name, path in EVERY}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"a circle: {' > '.join([*trail[trail.index(name) :], name])}"
        if name not in done:
            for target in sorted(graph.get(name, ())):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_file_name_means_two_things() -> None:
    homes: dict[str, list[str]] = {}
    for name, path in EVERY:
        homes.setdefault(path.stem, []).append(name)
    twice = {stem: names for stem, names in homes.items() if len(names) > 1 and stem not in SHARED_STEMS}
    assert not twice


def test_a_folder_holds_about_a_dozen_files() -> None:
    for package in PACKAGES:
        files = [path for path in ROOT.joinpath(*package.split(".")).glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 15, f"{package} has {len(files)} files; it needs rooms"


def test_only_the_engine_knows_mlx() -> None:
    """Not even inside a function: a lazy import is an import on the day it runs. The hub's library is `store.hub`'s."""
    breaches = []
    for name, path in EVERY:
        if within(name, "daemon.engine"):
            continue
        allowed = {"huggingface_hub"} if within(name, "store.hub") else set()
        heavy = {target.split(".")[0] for target in imported(name, path, typing=False)} & set(HEAVY)
        breaches += [f"{name} imports {target}" for target in heavy - allowed]
    assert breaches == []


def test_only_the_http_side_knows_sanic() -> None:
    breaches = []
    for name, path in EVERY:
        if any(within(name, each) for each in ("handlers", "control.server", "daemon.http")):
            continue
        breaches += [name for target in imported(name, path, typing=True) if within(target, "sanic")]
    assert breaches == []


def loaded_by(module: str) -> set[str]:
    """Every module that a fresh interpreter has after importing one."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["daemon.main", "daemon.http.app", "daemon.residency.residency", "control.server.api", "handlers.routes"]
)
def test_the_daemon_starts_without_mlx_and_its_friends(module: str) -> None:
    loaded = {name.split(".")[0] for name in loaded_by(f"mlx_serve.{module}")}
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["control.cli.main", "control.cli.client", "control.socket"])
def test_the_command_starts_with_the_standard_library_alone(module: str) -> None:
    loaded = loaded_by(f"mlx_serve.{module}")
    foreign = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names | {"mlx_serve"}}
    assert not foreign
    ours = {name for name in loaded if within(name, "mlx_serve")}
    assert all(within(name, "mlx_serve.control") for name in ours - {"mlx_serve"})


def test_the_engine_and_the_store_are_strangers() -> None:
    loaded = loaded_by("mlx_serve.store.store")
    assert not any(within(name, "mlx_serve.daemon") for name in loaded)


def test_the_rules_notice_a_breach(tmp_path: Path) -> None:
    """The test of the tests: a relative import two levels up is resolved to its full name."""
    path = tmp_path / "x.py"
    path.write_text(
        "def f():\n    from ..daemon.engine.generate.prefilling import pace\n    from . import names\nimport mlx.core\n"
    )
    found = set(imported("store.x", path, typing=False))
    assert found == {"mlx_serve.daemon.engine.generate.prefilling.pace", "mlx_serve.store.names", "mlx.core"}


def test_no_test_imports_another_folder_of_tests_by_a_name_that_the_program_has() -> None:
    """`python -m pytest` finds the program's own folder first, which has no such module."""
    wrong = re.compile(r"^ *(?:from|import) (?:control|daemon|handlers|store)(?:\.\w+)* *(?:import .*)?$", re.MULTILINE)
    tests = Path(__file__).parent
    assert [str(path) for path in tests.rglob("*.py") if wrong.search(path.read_text(encoding="utf-8"))] == []
