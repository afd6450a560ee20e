"""What the store does on this file system: clones of a local folder's files, and names in other letters.

Elsewhere than on APFS, btrfs and xfs a copy takes its full size, which is said and is no failure.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mac.trial import Trial

WEIGHTS = 512 << 20
MOST_FOR_A_CLONE = 64 << 20


def make_model(folder: Path) -> Path:
    """A folder with one tensor of random bytes, so that no file system compresses it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4})
    )
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    tensors = {"model.norm.weight": {"dtype": "U8", "shape": [WEIGHTS], "data_offsets": [0, WEIGHTS]}}
    header = json.dumps(tensors).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(WEIGHTS >> 20):
            file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    return folder


def ignores_case(folder: Path) -> bool:
    (folder / "Case").touch()
    try:
        return (folder / "cASE").exists()
    finally:
        (folder / "Case").unlink()


def main() -> int:
    problems: list[str] = []
    with Trial() as trial:
        base = Path(tempfile.mkdtemp(prefix="source-", dir=trial.home))
        model = make_model(base / "Tiny-Model")
        before = shutil.disk_usage(trial.home).free
        trial.command("pull", str(model), "--port", str(trial.port))
        used = before - shutil.disk_usage(trial.home).free
        print(f"pulling {WEIGHTS >> 20} MiB took {used / (1 << 20):.0f} MiB of the disk")
        if used > MOST_FOR_A_CLONE and sys.platform == "darwin":
            problems.append("the file was copied, not cloned")
        print(f"the folder {'ignores' if ignores_case(base) else 'tells'} case")
        for name in ("Tiny-Model", "tiny-model", "LOCAL/TINY-MODEL"):
            trial.command("show", name, "--port", str(trial.port))
        trial.command("copy", "tiny-model", "Mine/Other", "--port", str(trial.port))
        trial.command("copy", "tiny-model", "mine/other", "--port", str(trial.port))
        named = [line for line in trial.command("list", "--port", str(trial.port)).splitlines() if "ther" in line]
        print("\n".join(named))
        if len(named) != 1:
            problems.append(f"two spellings of one name are {len(named)} models")
        print(trial.command("verify", "--port", str(trial.port)).strip())  # it fails when a file is damaged
    print("\n".join(f"PROBLEM: {each}" for each in problems) or "no problem")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
