"""Whether a network rotates its queries and keys as its config says: read off the modules that were built.

An architecture that ignores a setting would compute something else without a word, so the modules are compared with
what mlx-lm's own `initialize_rope` makes of the settings; which keys its code reads does not matter then.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import rope_utils

from .rope_settings import PLAIN, SLIDING, Rotation, head_width, rotations, sections

_LIBRARY = (
    nn.RoPE,
    rope_utils.SuScaledRoPE,
    rope_utils.Llama3RoPE,
    rope_utils.YarnRoPE,
    rope_utils.ProportionalRoPE,
    rope_utils.DynamicNTKScalingRoPE,
)
_ELSEWHERE = ("vision", "visual", "audio")
_WIDTH_OF_ITS_OWN = ("qk_rope_head_dim", "rotary_dim", "swa_head_dim")


class Unread(Exception):
    """A setting of the config that the architecture's code does not follow."""


def check(network: nn.Module, config: Mapping[str, Any]) -> None:
    """Raises Unread and BadConfig. `config` as its file holds it.

    Where all is well, YaRN's modules get what mlx-lm's class does not know of.
    """
    modules = list(_modules(network))
    stretched: list[tuple[Any, float, Rotation]] = []
    for section in sections(config):
        kinds = section.get("layer_types")
        for layer, rotation in rotations(section).items():
            if layer == SLIDING and isinstance(kinds, list) and SLIDING not in kinds:
                continue
            if not _followed(rotation, section, modules):
                raise Unread(_sentence(rotation, section))
            if rotation.kind == "yarn":
                stretched += [
                    (module, base, rotation)
                    for base in _bases(rotation, section)
                    for module in modules
                    if base is not None
                    and isinstance(module, rope_utils.YarnRoPE)
                    and _same(module, rotation, base, section)
                ]
    for module, base, rotation in stretched:
        _complete(module, base, rotation)


def _modules(network: nn.Module) -> Iterator[nn.Module]:
    for name, module in network.named_modules():
        if any(part in name for part in _ELSEWHERE):
            continue
        if isinstance(module, _LIBRARY) or "_freqs" in module:
            yield module


def _bases(rotation: Rotation, section: Mapping[str, Any]) -> list[Any]:
    """One, or one a layer (0: a layer that does not turn), or another one for layers that see compressed tokens."""
    stated = rotation.base if isinstance(rotation.base, list) else [rotation.base]
    compressed = section.get("compress_rope_theta")
    return [base for base in dict.fromkeys([*stated, *([compressed] if compressed else [])]) if base != 0]


def _followed(rotation: Rotation, section: Mapping[str, Any], modules: list[nn.Module]) -> bool:
    """Whether some of the modules follow the configuration. Without any module there can be no scaling.

    Where there are several bases, not all of them need to be scaled.
    """
    if not modules:
        return rotation.kind == PLAIN
    bases = _bases(rotation, section)
    plain = dataclasses.replace(rotation, kind=PLAIN, settings={})
    allowed = (rotation,) if len(bases) == 1 else (rotation, plain)

    def has(base: Any, *choices: Rotation) -> bool:
        return any(_same(module, choice, base, section) for module in modules for choice in choices)

    return any(has(base, rotation) for base in bases) and all(has(base, *allowed) for base in bases)


def _same(module: Any, rotation: Rotation, base: float | None, section: Mapping[str, Any]) -> bool:
    if not isinstance(module, _LIBRARY):
        return True  # a formula of the architecture's own
    dims = module.dim if isinstance(module, rope_utils.SuScaledRoPE) else module.dims
    if not _turns_enough(dims, rotation, section):
        return False
    if base is None:
        return rotation.kind == PLAIN or not isinstance(module, nn.RoPE) or module.scale != 1.0
    return _equal(_wanted(dims, base, rotation, section), module)


def _turns_enough(dims: int, rotation: Rotation, section: Mapping[str, Any]) -> bool:
    width = head_width(section)
    if rotation.fraction is None or width is None or rotation.kind == "proportional":
        return True
    if any(section.get(key) is not None for key in _WIDTH_OF_ITS_OWN):
        return True
    return dims == int(width * rotation.fraction)


def _wanted(dims: int, base: float, rotation: Rotation, section: Mapping[str, Any]) -> nn.Module:
    longest = section.get("max_position_embeddings")
    try:
        return rope_utils.initialize_rope(dims, base, False, rotation.spelled(), longest)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise Unread(f"config.json: the rope type {rotation.kind!r} cannot be computed ({error})") from error


def _equal(wanted: Any, module: Any) -> bool:
    if isinstance(wanted, rope_utils.DynamicNTKScalingRoPE):
        return type(wanted) is type(module) and (wanted.base, wanted.factor) == (module.base, module.factor)
    if isinstance(module, rope_utils.DynamicNTKScalingRoPE):
        return False
    ours, theirs = wavelengths(wanted), wavelengths(module)
    same_scale = math.isclose(getattr(wanted, "mscale", 1.0), getattr(module, "mscale", 1.0), rel_tol=1e-5)
    return same_scale and ours.shape == theirs.shape and bool(mx.allclose(ours, theirs, rtol=1e-4))


def wavelengths(module: Any) -> mx.array:
    """(dims / 2,) what each pair of a query's values divides the position by; infinite for one that does not turn."""
    found: mx.array = (
        module._freqs
        if "_freqs" in module
        else module.base ** (mx.arange(0, module.dims, 2, dtype=mx.float32) / module.dims) / module.scale
    )
    return found


def _complete(module: Any, base: float, rotation: Rotation) -> None:
    """A correction range that is not rounded (gpt-oss has that), and a factor for attention."""
    if rotation.settings.get("truncate") is False:
        module._freqs = yarn_wavelengths(module.dims, base, rotation.settings)
    if (attention := rotation.settings.get("attention_factor")) is not None:
        module.mscale = float(attention)


def yarn_wavelengths(dims: int, base: float, settings: Mapping[str, Any]) -> mx.array:
    """(dims / 2,) divisors of the position; YaRN (https://arxiv.org/abs/2309.00071) without rounding its range."""
    factor, trained = float(settings["factor"]), float(settings["original_max_position_embeddings"])

    def dimension(turns: float) -> float:
        return dims * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(dimension(settings.get("beta_fast") or 32), 0)
    high = min(dimension(settings.get("beta_slow") or 1), dims - 1)
    ramp = mx.clip((mx.arange(dims // 2, dtype=mx.float32) - low) / max(high - low, 0.001), 0, 1)
    plain = base ** (mx.arange(0, dims, 2, dtype=mx.float32) / dims)
    return 1 / (ramp / (factor * plain) + (1 - ramp) / plain)


def _sentence(rotation: Rotation, section: Mapping[str, Any]) -> str:
    what = f"rope_theta {rotation.base}"
    if rotation.fraction is not None:
        what += f", partial_rotary_factor {rotation.fraction}"
    if rotation.kind != PLAIN:
        what = f"rope type {rotation.kind!r}, {what}"
    return (
        f"config.json asks for positions with {what}, and this version's code for model type "
        f"{section.get('model_type')!r} does not follow that; the answers would be wrong"
    )
