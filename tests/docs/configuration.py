"""docs/configuration.md: every setting, from the schema that the daemon reads its settings by."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from mlx_serve.daemon.settings.command import default_text, example
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
about models for what is loaded from then on:

{live}

The others need a restart, and `config --reload` names those that differ from what the daemon was started with:

{restart}

Flags and variables of a running process do not change, and still come before the file.
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
    "OPENBLAS_NUM_THREADS": "threads of OpenBLAS in a model's process; by default one less than the cores",
}
"""Variables that are no settings."""


def configuration(committed: str) -> str:
    """The whole document; nothing of the committed one is kept."""
    every = [f"{section}.{name}" for section, cls in SECTIONS.items() for name, _ in settings_of(cls)]
    head = _HEAD.replace("{live}", _listed(key for key in every if key in LIVE))
    head = head.replace("{restart}", _listed(restart_keys()))
    return "".join([head, *map(_section, SECTIONS), *_others(), f"\n## The file\n\n```yaml\n{example()}```\n"])


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


def _others() -> Iterator[str]:
    yield "\n## Other environment variables\n\n| variable | what it does |\n| --- | --- |\n"
    for name, text in _OTHERS.items():
        yield f"| `{name}` | {text} |\n"
