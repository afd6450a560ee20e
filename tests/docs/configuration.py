"""docs/configuration.md: every setting, from the schema that the daemon reads its settings by."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from mlx_serve.daemon.settings.command import default_text, example
from mlx_serve.daemon.settings.one_model import SPECS
from mlx_serve.daemon.settings.renewal import LIVE, restart_keys
from mlx_serve.daemon.settings.schema import FLAGS, SECTIONS, SHORT_NAMES, settings_of, variable
from mlx_serve.daemon.settings.value import wanted

_HEAD = """\
<!-- Written by `make docs` from daemon/settings/schema.py; edit the texts there. -->

# Configuration

A setting is taken from the first of these places that has it:

1. a flag of `mlx-serve start`
2. an environment variable
3. the settings file, `~/.mlx-serve/config.yaml`, or the one that `--config` names
4. the default

`mlx-serve config` prints the effective settings and where each came from, `mlx-serve config --path` where the settings
file is, and `mlx-serve config --example` the file at the end of this page. An unknown key or a wrong value stops the
start with the file, the line, the key and the nearest valid name.

In the file, settings stand under their section (`server: {port: 8001}`). In a variable, a list is written with commas
(`a,b`), a mapping as `name=owner/model,other=owner/model`, and a switch as `true` or `false` (`yes` and `no`, `on` and
`off`, `1` and `0` work too). A size is a number of bytes or has a unit: `8GB` is 8,000,000,000 bytes, `8GiB` is
8,589,934,592. A settings file with API keys must be readable by its owner only; `server.api_keys_file` names a file
with keys alone, and is read again at each reload. Keys are never printed.

## While the daemon runs

`mlx-serve config --reload`, or SIGHUP, has the running daemon read its settings again. A file that is not valid
changes nothing: the command prints the reason, and the log has it (`fail reload`). These settings count at once, those
about memory for what is loaded from then on, idle times and pins also for what is in memory:

{live}

The others need a restart, and `config --reload` names those that differ from what the daemon was started with:

{restart}

Flags and variables of a running process do not change, and still come before the file.
"""

_ONE_MODEL = """\

## One model

`models.settings` says what holds for one model alone, under any name that finds it: the one in `mlx-serve list`, its
full name, an alias. The model is not copied for it; another name of the same files (`mlx-serve copy`) is another
model here.

```yaml
models:
  settings:
    starter:
      context_length: 1024
      temperature: 0.2
      system: You answer in one sentence.
      keep_alive: 2h
```

Each value is taken from the first of these places that has it, the same for OpenAI's, Ollama's and Anthropic's
clients:

1. the request: its own system message (`instructions`, `system`, `developer`), its `temperature`, Ollama's `options`,
   `keep_alive`
2. `models.settings`
3. what the model was created with (`SYSTEM`, `PARAMETER` of Ollama's `create`)
4. its files: `generation_config.json` for sampling, `config.json` for the context
5. `engine.context_length` and `cache.ttl_seconds`, which hold for all models, then the API's own default

A prompt that is no conversation (`/v1/completions`, Ollama's `raw`) gets no system prompt. `pin` is the one that no
request overrides: clients send `keep_alive` without anybody's having asked for it. A model that has no room beside
what is pinned is refused with the names.

`mlx-serve show NAME` lists what holds for a model and where each value comes from, `mlx-serve config` every such
setting with its line. After `mlx-serve config --reload` all of it counts at once; only a context that is longer than
the one that the model was loaded with waits for its next load, and the command names such models. What does nothing
is told there, in `mlx-serve config`, by `mlx-serve doctor` and in the log: a name that no model has (it counts as
soon as there is one), and what has no meaning for the model, such as a temperature of an embedding model. In
`MLX_SERVE_MODELS_SETTINGS` the mapping is written as JSON: `{"starter": {"temperature": 0.2}}`.

| setting | value | what it does |
| --- | --- | --- |
"""

_OTHERS = {
    "MLX_SERVE_HOME": "the home folder: settings, models, logs, control sockets; `~/.mlx-serve` by default",
    "MLX_SERVE_NO_AUTOSTART": "`1`: commands do not start a daemon; without one they end with exit status 3",
    "MLX_SERVE_LOOP": "`asyncio` or `uvloop`: the daemon's event loop; by default uvloop where it is installed",
    "MLX_SERVE_DEBUG": "`1`: a command that fails unexpectedly prints its traceback",
    "HF_TOKEN": "the token for gated and private repositories; else the one that `hf auth login` stored",
    "HF_ENDPOINT": "another hub than https://huggingface.co",
    "HF_HUB_OFFLINE": "`1`: nothing is downloaded; `TRANSFORMERS_OFFLINE` does the same",
    "HTTPS_PROXY": "the proxy for pulls, an `http://` address; `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` count too. "
    "Without them, on macOS, that of System Settings > Network with its exceptions (no PAC files, no SOCKS; not run on "
    "a Mac yet)",
    "HF_HOME": "where the hub's own cache is; `HF_HUB_CACHE` names it directly. Files in it are not downloaded again",
    "NO_COLOR": "any value: the command prints no colours",
    "OPENBLAS_CORETYPE": "the kernels that OpenBLAS takes in a model's process, such as `Haswell`; by default its own "
    "choice, but none without AVX2 or AVX-512 where the processor has them",
    "OPENBLAS_NUM_THREADS": "threads of OpenBLAS in a model's process, always; by default as many as cores "
    "while only prompts are read and no other program needs one, and one less else; of a container's share of the "
    "cores no more. Threads that help with products of few rows are no more either",
}
"""Variables that are no settings."""


def configuration(committed: str) -> str:
    """The whole document; nothing of the committed one is kept."""
    every = [f"{section}.{name}" for section, cls in SECTIONS.items() for name, _ in settings_of(cls)]
    head = _HEAD.replace("{live}", _listed(key for key in every if key in LIVE))
    head = head.replace("{restart}", _listed(restart_keys()))
    return "".join(
        [
            head,
            *map(_section, SECTIONS),
            _ONE_MODEL,
            *_of_one_model(),
            *_others(),
            f"\n## The file\n\n```yaml\n{example()}```\n",
        ]
    )


def _listed(keys: Iterable[str]) -> str:
    return "\n".join(textwrap.wrap(", ".join(f"`{key}`" for key in keys), 120, break_on_hyphens=False))


def _section(section: str) -> str:
    rows = "".join(f"| {' | '.join(row)} |\n" for row in _rows(section))
    return (
        f"\n## {section}\n\n"
        "| setting | default | value | environment variable | flag | what it does |\n"
        f"| --- | --- | --- | --- | --- | --- |\n{rows}"
    )


def _rows(section: str) -> Iterator[tuple[str, ...]]:
    defaults = SECTIONS[section]()
    for name, spec in settings_of(SECTIONS[section]):
        key = f"{section}.{name}"
        variables = [variable(key), *(short for short, of in SHORT_NAMES.items() if of == key)]
        flag = f"`{FLAGS[key]}`" if key in FLAGS else ""
        yield (
            f"`{key}`",
            f"`{default_text(getattr(defaults, name), spec.none)}`",
            wanted(spec),
            ", ".join(f"`{each}`" for each in variables),
            flag,
            spec.doc,
        )


def _of_one_model() -> Iterator[str]:
    for name, spec in SPECS.items():
        yield f"| `{name}` | {wanted(spec)} | {spec.doc} |\n"


def _others() -> Iterator[str]:
    yield "\n## Other environment variables\n\n| variable | what it does |\n| --- | --- |\n"
    for name, text in _OTHERS.items():
        yield f"| `{name}` | {text} |\n"
