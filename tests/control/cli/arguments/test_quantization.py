"""The command and the daemon know the same quantizations."""

from __future__ import annotations

import itertools

from mlx_serve.control.cli.arguments import quantization as precision
from mlx_serve.daemon.errors import RequestRejected
from mlx_serve.daemon.tasks import quantizing


def test_command_and_daemon_know_the_same_precisions() -> None:
    """The command cannot import the daemon's table, for it starts with the standard library alone."""
    for mode, (every_bits, every_size) in precision.MODES.items():
        for bits, group_size in itertools.product(range(1, 17), (8, 16, 32, 64, 128, 256)):
            try:
                quantizing.check(bits, group_size, mode)
            except RequestRejected:
                known = False
            else:
                known = True
            assert known == (bits in every_bits and group_size in every_size)
