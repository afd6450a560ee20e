"""The environment of a child process: the variables that it needs to run, and no key or token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX", "XDG_CACHE_HOME"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "LIBRARY_PATH", "CPATH", "CPLUS_INCLUDE_PATH", "SDKROOT", "DEVELOPER_DIR"),
        *("HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_VERBOSITY", "TOKENIZERS_PARALLELISM"),
        *("RAYON_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "GLIBC_TUNABLES", "__CF_USER_TEXT_ENCODING"),
    )
)
_PREFIXES = (
    *("LC_", "DYLD_", "PYTHON", "MALLOC_", "MLX_", "METAL_", "MTL_", "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "NUMEXPR_"),
)
_EXCLUDED = ("MLX_SERVE_", "MLX_VLM_", "MLX_TRUST_")
_UNBOUNDED = {"MLX_ENABLE_CACHE_THRASHING_CHECK": "0"}
"""On CUDA, MLX keeps what it makes for a shape: graphs (400), plans of convolutions and of attention. Unless told
otherwise it fails for good once a process has met twice as many in all its life, which a daemon's does."""
_SECRET_WORDS = frozenset(("KEY", "KEYS", "TOKEN", "TOKENS", "SECRET", "SECRETS", "PASSWORD", "PASSWD", "CREDENTIALS"))


def child_environment(environ: Mapping[str, str], temporary: Path, cache: Path | None) -> dict[str, str]:
    """`temporary` becomes TMPDIR; in `cache` MLX may keep compiled GPU kernels, unless the user set another folder."""
    kept = {name: value for name, value in environ.items() if _is_kept(name)}
    kernels = {} if cache is None else {"MLX_PTX_CACHE_DIR": str(cache / "ptx")}
    return _UNBOUNDED | kernels | kept | {"TMPDIR": str(temporary)}


def _is_kept(name: str) -> bool:
    if name.startswith(_EXCLUDED) or not _SECRET_WORDS.isdisjoint(name.upper().split("_")):
        return False
    return name in _NAMES or name.startswith(_PREFIXES)
