"""One example of every command, for its `--help` and the manual page."""

from __future__ import annotations

EXAMPLES = {
    "start": "mlx-serve start --port 8001 --preload starter",
    "status": "mlx-serve status --json",
    "stop": "mlx-serve stop --all",
    "pull": "mlx-serve pull mlx-community/Qwen3-0.6B-4bit",
    "quantize": "mlx-serve quantize starter --bits 4 --name starter-4bit",
    "list": "mlx-serve list",
    "show": "mlx-serve show starter",
    "remove": "mlx-serve remove starter-4bit",
    "copy": "mlx-serve copy starter mine",
    "run": 'mlx-serve run starter "What does mlx-serve ps show?"',
    "launch": "mlx-serve launch claude --print",
    "ps": "mlx-serve ps --json",
    "cancel": "mlx-serve cancel 9f86d081884c7d65",
    "load": "mlx-serve load starter",
    "unload": "mlx-serve unload starter",
    "logs": "mlx-serve logs -f -n 20",
    "config": "mlx-serve config --reload",
    "verify": "mlx-serve verify starter",
    "gc": "mlx-serve gc --dry-run",
    "bench": "mlx-serve bench starter -c 1,4 --prompt 256 --tokens 64",
    "doctor": "mlx-serve doctor",
    "service": "mlx-serve service install --print",
    "version": "mlx-serve version",
    "completion": 'eval "$(mlx-serve completion bash)"',
}
