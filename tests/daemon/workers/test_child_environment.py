"""What a child sees of its daemon's environment: what it needs to run, and neither a key nor a token."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest
from support.waiting import GUARD

from mlx_serve.daemon import protocol
from mlx_serve.daemon.workers.child_environment import child_environment
from mlx_serve.daemon.workers.job import run_job
from mlx_serve.daemon.workers.runner import Runner

FAKES = Path(__file__).parents[2] / "fakes"
SECRETS = {
    "MLX_SERVE_SERVER_API_KEYS": "sixteen-or-more-",
    "HF_TOKEN": "hf_secret",
    "HUGGING_FACE_HUB_TOKEN": "hf_secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "OPENAI_API_KEY": "secret",
    "GITHUB_TOKEN": "secret",
    "DATABASE_URL": "postgres://me:secret@db",
    "HTTPS_PROXY": "http://me:secret@proxy",
    "MLX_VLM_SERVER_API_KEY": "secret",
    "MLX_FUTURE_API_KEY": "secret",
    "MLX_TRUST_REMOTE_CODE": "1",
    "SSH_AUTH_SOCK": "/agent",
    "NOTIFY_SOCKET": "/run/systemd/notify",
    "LISTEN_FDS": "1",
}
LASTING = {"MLX_ENABLE_CACHE_THRASHING_CHECK": "0"}
NEEDED = {
    "PATH": os.environ.get("PATH", "/usr/bin"),
    "HOME": "/home/me",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": os.pathsep.join(sys.path),
    "VIRTUAL_ENV": "/venv",
    "LD_LIBRARY_PATH": "/usr/local/lib",
    "DYLD_LIBRARY_PATH": "/usr/local/lib",
    "MLX_DISABLE_COMPILE": "1",
    "METAL_DEVICE_WRAPPER_TYPE": "1",
    "CUDA_VISIBLE_DEVICES": "0",
    "NVIDIA_VISIBLE_DEVICES": "all",
    "OMP_NUM_THREADS": "2",
    "OPENBLAS_NUM_THREADS": "2",
    "OPENBLAS_CORETYPE": "Haswell",
    "MKL_NUM_THREADS": "2",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def test_what_is_needed_passes_and_secrets_do_not(tmp_path: Path) -> None:
    found = child_environment(NEEDED | SECRETS | {"TMPDIR": "/tmp"}, tmp_path, None)
    assert found == NEEDED | LASTING | {"TMPDIR": str(tmp_path)}


def test_what_mlx_keeps_for_shapes_may_be_made_anew_for_good(tmp_path: Path) -> None:
    """With its check, MLX on CUDA ends every step with an error once a process has met some hundred shapes more than it
    keeps: a daemon's model lives longer than that."""
    assert child_environment({}, tmp_path, None) == LASTING | {"TMPDIR": str(tmp_path)}
    mine = {"MLX_ENABLE_CACHE_THRASHING_CHECK": "1"}
    assert child_environment(mine, tmp_path, None) == mine | {"TMPDIR": str(tmp_path)}


def test_the_kernels_place_is_ours_unless_the_user_named_one(tmp_path: Path) -> None:
    assert child_environment({}, tmp_path, tmp_path)["MLX_PTX_CACHE_DIR"] == str(tmp_path / "ptx")
    named = {"MLX_PTX_CACHE_DIR": "/mine"}
    assert child_environment(named, tmp_path, tmp_path)["MLX_PTX_CACHE_DIR"] == "/mine"


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | {"MLX_DISABLE_COMPILE": "1"}).items():
        monkeypatch.setenv(name, value)


def check(pid: int) -> None:
    found = psutil.Process(pid).environ()
    assert set(found).isdisjoint(SECRETS) and not any("secret" in value for value in found.values())
    assert found["MLX_DISABLE_COMPILE"] == "1" and Path(found["TMPDIR"]).name.startswith("mlx-serve-child-")


async def test_no_key_reaches_a_real_child(surroundings: None) -> None:
    child = await Runner.spawn((str(FAKES / "child.py"),))
    try:
        await asyncio.wait_for(child.hello(), 20)
        check(child.pid)
    finally:
        await child.close()


async def test_no_key_reaches_a_job_that_quantizes(surroundings: None, tmp_path: Path) -> None:
    """Looked at when it says that it has begun."""
    (tmp_path / "config.json").write_text("{}")  # else it would end at once
    order = protocol.Quantize(
        path=str(tmp_path), output=str(tmp_path), kind="llm", mode="affine", bits=4, group_size=64
    )
    seen: list[int] = []

    class Enough(Exception):
        pass

    def look(_: protocol.Quantizing) -> None:
        for process in psutil.Process().children():
            try:
                command = process.cmdline()
            except psutil.Error:  # another test's, which has just ended
                continue
            if any(part.endswith("job.py") for part in command):
                check(process.pid)
                seen.append(process.pid)
        raise Enough

    with pytest.raises(Enough):
        await asyncio.wait_for(run_job(order, look, (str(FAKES / "job.py"), "waits")), GUARD)
    assert len(seen) == 1
