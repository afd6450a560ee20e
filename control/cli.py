"""The `mlx-serve` command."""


def main() -> int:
    return 0
