"""Every setting of the daemon, its default, its bounds and its words, as one frozen tree.

It reads nothing: `effective_settings` makes such a tree from flags, environment and file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from .one_model import OneModel
from .value import Setting, setting

_DAY = 86_400
_MODELS = Path("~/.mlx-serve/models")
_FOREVER = 10 * 365 * _DAY


@dataclass(frozen=True)
class ServerSettings:
    host: str = setting(
        "0.0.0.0", "text", "address to listen on; 127.0.0.1: this machine only. Others need a key, see protected"
    )
    port: int = setting(8000, "whole", "TCP port; 0 takes a free one", low=0, high=65535)
    protected: bool = setting(True, "switch", "refuse requests of other machines while no API key is set")
    api_keys: tuple[str, ...] = setting((), "names", "keys that other machines must send", secret=True, shortest=16)
    api_keys_file: Path | None = setting(  # noqa: RUF009 (a field, made once)
        None,
        "path",
        "a file with more keys, one a line; nobody else may read it, or it is root's",
        auto=True,
        none="none",
    )
    require_keys: str = setting(
        "remote", "choice", "who must send a key: other machines, or always every client", choices=("remote", "always")
    )
    remote_management: bool = setting(False, "switch", "other machines may also pull, create, copy and delete models")
    allowed_hosts: tuple[str, ...] = setting((), "names", "other host names of this machine, for the Host check")
    cors_origins: tuple[str, ...] = setting(
        ("localhost",),
        "names",
        "origins of web pages that may use the daemon; localhost: this machine's, *: any",
    )
    max_body_mb: int = setting(64, "whole", "largest request body", low=1, high=4096, unit="MiB")
    max_queue: int = setting(
        256, "whole", "requests per model that may wait; further ones get 503 at once", low=0, high=100_000
    )
    request_timeout_seconds: float = setting(
        0, "number", "a request that takes longer is ended with 504; 0: no limit", low=0, high=_DAY, unit="seconds"
    )
    drain_seconds: float = setting(
        30, "number", "how long running requests may go on when the daemon stops", low=0, high=3600, unit="seconds"
    )
    prevent_sleep: bool = setting(True, "switch", "macOS: no idle sleep while there are answers or pulls")


@dataclass(frozen=True)
class ModelSettings:
    directory: Path = setting(_MODELS, "path", "folder of the model store")  # noqa: RUF009 (a field, made once)
    preload: tuple[str, ...] = setting((), "names", "models to load at the start")
    auto_download: bool = setting(False, "switch", "pull a model that is not installed on its first request")
    aliases: Mapping[str, str] = setting({}, "map", "short names of your own: {name: owner/model}")
    memory_limit: int | None = setting(
        None, "size", "memory for models with their processes, such as 24GB", low=1 << 20, auto=True
    )
    wired: int | None = setting(
        None,
        "size",
        "weights that Metal keeps resident, of all models together; 0: none; auto: only of a model near the limit",
        low=0,
        auto=True,
    )
    fetch_private_images: bool = setting(
        False, "switch", "URLs of pictures may lead to private, loopback and link-local addresses"
    )
    settings: Mapping[str, OneModel] = setting(
        {}, "models", "what holds for one model alone: {name: {temperature: 0.2}}"
    )


@dataclass(frozen=True)
class CacheSettings:
    max_llm_models: int = setting(3, "whole", "language models in memory at once", low=1, high=1000)
    max_vlm_models: int = setting(1, "whole", "vision models in memory at once", low=1, high=1000)
    max_embedding_models: int = setting(3, "whole", "embedding models in memory at once", low=1, high=1000)
    max_reranker_models: int = setting(2, "whole", "rerankers in memory at once", low=1, high=1000)
    ttl_seconds: float = setting(
        1800, "number", "idle time after which a model is unloaded; -1: never", low=-1, high=_FOREVER, unit="seconds"
    )
    prefix_cache_mb: int | None = setting(
        None,
        "whole",
        "memory of each model for prompts that were read before; auto: half of what its caches may take; 0: none",
        low=0,
        high=1 << 24,
        auto=True,
        unit="MiB",
    )
    prefix_disk_mb: int | None = setting(
        None,
        "whole",
        "disk space, of all models together, for prompts of more than 1,024 tokens that were read before, so that they "
        "outlive an unload or a restart; auto: at most 8 GiB and a tenth of what is free; 0: none",
        low=0,
        high=1 << 30,
        auto=True,
        unit="MiB",
    )
    prefix_bits: str = setting(
        "exact",
        "choice",
        "keys and values of prompts on disk; exact: as they were computed; 8: in 8 bits, which takes 0.28 (of float32) "
        "or 0.56 of the space and changes the logits a little after a prompt was read back; not of models whose caches "
        "cannot be cut, whose turns are kept as they are",
        choices=("exact", "8"),
    )


@dataclass(frozen=True)
class EngineSettings:
    max_batch: int = setting(32, "whole", "sequences that one model generates at the same time", low=1, high=4096)
    prefill_tokens_per_step: int = setting(
        512, "whole", "prompt tokens per step while other sequences decode", low=16, high=1 << 20, unit="tokens"
    )
    context_length: int | None = setting(
        None,
        "whole",
        "limit of every model's context; auto: its own",
        low=16,
        high=1 << 30,
        auto=True,
        unit="tokens",
    )
    speculation: str = setting(
        "auto",
        "choice",
        "whether tokens are drafted ahead of the model; auto: where that is faster. This version never drafts",
        choices=("auto", "off"),
    )
    draft_models: Mapping[str, str] = setting({}, "map", "models that draft for others; this version takes none")


@dataclass(frozen=True)
class LoggingSettings:
    level: str = setting("INFO", "choice", "least level that is logged", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    format: str = setting("json", "choice", "format of the log lines", choices=("json", "text"))
    stderr: bool = setting(
        True, "switch", "in the foreground, write the log to standard error as well as into its file"
    )


@dataclass(frozen=True)
class MetricsSettings:
    enabled: bool = setting(True, "switch", "serve /metrics for Prometheus")


@dataclass(frozen=True)
class Settings:
    """`origins` says for each `section.key` where its value came from, and for each `models.settings.name.key` that is
    set; `file` is the YAML file that was read."""

    home: Path
    server: ServerSettings
    models: ModelSettings
    cache: CacheSettings
    engine: EngineSettings
    logging: LoggingSettings
    metrics: MetricsSettings
    origins: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None


SECTIONS: Mapping[str, type[Any]] = {
    "server": ServerSettings,
    "models": ModelSettings,
    "cache": CacheSettings,
    "engine": EngineSettings,
    "logging": LoggingSettings,
    "metrics": MetricsSettings,
}
SHORT_NAMES = {
    "MLX_SERVE_HOST": "server.host",
    "MLX_SERVE_PORT": "server.port",
    "MLX_SERVE_MODELS_DIR": "models.directory",
    "MLX_SERVE_LOG_LEVEL": "logging.level",
    "MLX_SERVE_PRELOAD_MODELS": "models.preload",
    "MLX_SERVE_AUTO_DOWNLOAD": "models.auto_download",
}
FLAGS = {
    "server.host": "--host",
    "server.port": "--port",
    "models.directory": "--models-dir",
    "models.preload": "--preload",
    "logging.level": "--log-level",
}
"""The flags of `mlx-serve start` that are settings; `--config` names the file."""


def settings_of(section: type[Any]) -> Iterator[tuple[str, Setting]]:
    """Name and description of each setting of a section, in the order of the file."""
    for each in fields(section):
        yield each.name, each.metadata["setting"]


BY_KEY: Mapping[str, Setting] = {
    f"{section}.{name}": spec for section, cls in SECTIONS.items() for name, spec in settings_of(cls)
}
"""Every setting by its key, such as `server.port`."""


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return f"MLX_SERVE_{key.replace('.', '_').upper()}"
