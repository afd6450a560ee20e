"""Prompts on disk, as `gc` sweeps them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...daemon.prefix_folder import PrefixFolder, Swept, model_of, root

if TYPE_CHECKING:
    from ...daemon.context import Context

log = logging.getLogger("mlx_serve.control")


def sweep_prompts(context: Context, *, dry_run: bool) -> Swept:
    """Take away those of models that are not installed any more, and the least recently used beyond the budget. A
    folder that does not let that happen is left as it is, and the log says so."""
    megabytes = context.settings.cache.prefix_disk_mb
    folder = PrefixFolder(root(context.settings.home), None if megabytes is None else megabytes << 20)
    installed = {model.base for model in context.store.models()}

    def unwanted(key: str) -> bool:
        return model_of(key) not in installed

    try:
        return folder.would_sweep(unwanted) if dry_run else folder.sweep(unwanted=unwanted)
    except OSError as error:
        log.warning("keep prompts on disk reason=%s", error.strerror or type(error).__name__)
        return Swept()
