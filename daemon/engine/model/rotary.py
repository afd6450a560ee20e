"""Whether a network turns its queries and keys as its config says: read off the modules that were really built.

An architecture that ignores a setting would compute something else without a word, so the modules are compared with
what mlx-lm's own `initialize_rope` makes of the settings; which keys its code reads does not matter then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import rope_utils

from .spelling import PLAIN, SLIDING, Rotation, head_width, rotations, sections

_LIBRARY = (
    nn.RoPE,
    rope_utils.SuScaledRoPE,
    rope_utils.Llama3RoPE,
    rope_utils.YarnRoPE,
    rope_utils.ProportionalRoPE,
    rope_utils.DynamicNTKScalingRoPE,
)
_NUMBERS = ("base", "scale", "factor", "max_position_embeddings", "mscale", "_scale")
_ELSEWHERE = ("vision", "visual", "audio")
_WIDTH_OF_ITS_OWN = ("qk_rope_head_dim", "rotary_dim", "swa_head_dim")


class Unread(Exception):
    """A setting of the config that the architecture's code does not follow."""


def check(network: nn.Module, config: Mapping[str, Any]) -> None:
    """Raises Unread. `config` as `normalised` makes it, or as it was."""
    modules = list(_modules(network))
    for section in sections(config):
        kinds = section.get("layer_types")
        for layer, rotation in rotations(section).items():
            if layer == SLIDING and isinstance(kinds, list) and SLIDING not in kinds:
                continue
            if not _followed(rotation, section, modules):
                raise Unread(_sentence(rotation, section))
            for module in modules:
                _complete(module, rotation)


def _modules(network: nn.Module) -> Iterator[nn.Module]:
    for name, module in network.named_modules():
        if any(part in name for part in _ELSEWHERE):
            continue
        if isinstance(module, _LIBRARY) or "_freqs" in module:
            yield module


def _followed(rotation: Rotation, section: Mapping[str, Any], modules: list[nn.Module]) -> bool:
    """Whether one of the modules does as it is told. Where there are none, no scaling can be in force."""
    if not modules:
        return rotation.kind == PLAIN
    bases = rotation.base if isinstance(rotation.base, list) else [rotation.base]
    return all(
        any(_same(module, rotation, base, section) for module in modules) for base in bases if base or base is None
    )


def _same(module: Any, rotation: Rotation, base: float | None, section: Mapping[str, Any]) -> bool:
    if not isinstance(module, _LIBRARY):
        return True  # a formula of the architecture's own
    dims = module.dim if isinstance(module, rope_utils.SuScaledRoPE) else module.dims
    if not _turns_enough(dims, rotation, section):
        return False
    if base is None:
        return rotation.kind == PLAIN or not isinstance(module, nn.RoPE) or module.scale != 1.0
    wanted = _wanted(dims, base, getattr(module, "traditional", False), rotation, section)
    return type(wanted) is type(module) and _equal(wanted, module)


def _turns_enough(dims: int, rotation: Rotation, section: Mapping[str, Any]) -> bool:
    width = head_width(section)
    if rotation.fraction is None or width is None or rotation.kind == "proportional":
        return True
    if any(section.get(key) is not None for key in _WIDTH_OF_ITS_OWN):
        return True
    return dims == int(width * rotation.fraction)


def _wanted(dims: int, base: float, traditional: bool, rotation: Rotation, section: Mapping[str, Any]) -> nn.Module:
    settings = rotation.spelled()
    try:
        return rope_utils.initialize_rope(dims, base, traditional, settings, section.get("max_position_embeddings"))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise Unread(f"config.json: the rope type {rotation.kind!r} cannot be computed ({error})") from error


def _equal(wanted: Any, module: Any) -> bool:
    for name in _NUMBERS:
        ours, theirs = getattr(wanted, name, None), getattr(module, name, None)
        if isinstance(ours, int | float) and isinstance(theirs, int | float):
            if not math.isclose(ours, theirs, rel_tol=1e-5):
                return False
        elif name != "max_position_embeddings" and (ours is None) != (theirs is None):
            return False
    if "_freqs" not in wanted:
        return True
    return wanted._freqs.shape == module._freqs.shape and bool(mx.allclose(wanted._freqs, module._freqs, rtol=1e-4))


def _complete(module: Any, rotation: Rotation) -> None:
    """What mlx-lm's YaRN does not know: a correction range that is not rounded (gpt-oss), a factor for attention."""
    if not isinstance(module, rope_utils.YarnRoPE) or rotation.kind != "yarn" or rotation.base is None:
        return
    if rotation.settings.get("truncate") is False:
        module._freqs = yarn_wavelengths(module.dims, float(rotation.base), rotation.settings)
    if (attention := rotation.settings.get("attention_factor")) is not None:
        module.mscale = float(attention)


def yarn_wavelengths(dims: int, base: float, settings: Mapping[str, Any]) -> mx.array:
    """(dims / 2,) divisors of the position, in radians; YaRN (https://arxiv.org/abs/2309.00071) without rounding."""
    factor, trained = float(settings["factor"]), float(settings["original_max_position_embeddings"])

    def dimension(rotations: float) -> float:
        return dims * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(base))

    low = max(dimension(settings.get("beta_fast") or 32), 0)
    high = min(dimension(settings.get("beta_slow") or 1), dims - 1)
    ramp = mx.clip((mx.arange(dims // 2, dtype=mx.float32) - low) / max(high - low, 0.001), 0, 1)
    plain = base ** (mx.arange(0, dims, 2, dtype=mx.float32) / dims)
    return 1 / (ramp / (factor * plain) + (1 - ramp) / plain)


def _sentence(rotation: Rotation, section: Mapping[str, Any]) -> str:
    model_type = section.get("model_type")
    if rotation.kind != PLAIN:
        what = f"positions are scaled ({rotation.kind}, rope_theta {rotation.base})"
    else:
        what = f"rope_theta is {rotation.base}"
        if rotation.fraction is not None:
            what += f" and partial_rotary_factor {rotation.fraction}"
    return (
        f"config.json says that {what}, and this version's code for model type {model_type!r} does not read it; "
        "the answers would be wrong"
    )
