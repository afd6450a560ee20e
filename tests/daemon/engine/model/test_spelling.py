"""One meaning, several spellings: what mlx-lm builds from each is the same, for every architecture it has."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.models.rope_utils import DynamicNTKScalingRoPE
from support.rope_families import BASE, LOCAL_BASE, TWO_BASES, by_layer, modern, names, old

from mlx_serve.daemon.engine.model import rope_modules
from mlx_serve.daemon.engine.model.network import open_network, required_keys
from mlx_serve.daemon.engine.model.rope_settings import BadConfig, rotations, sections
from mlx_serve.daemon.engine.model.spelling import normalised, period

# mlx-lm's code turns all of a head where half is asked for, and has a base of its own.
DEAF = {"glm", "recurrent_gemma"}
SCALINGS: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 2.0},
    "yarn": {"factor": 8.0, "original_max_position_embeddings": 64},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}
# Measured once over all architectures: who follows which scaling. Everybody else must be refused.
FOLLOWERS = {
    *("afmoe", "apertus", "bitnet", "exaone4", "falcon_h1", "gemma3", "gemma3_text", "granite", "granitemoe"),
    *("laguna", "llama", "minimax_m3_vl", "ministral3", "mistral3", "olmo2", "olmoe", "qwen2", "qwen2_vl"),
    *("qwen3", "qwen3_5", "qwen3_5_moe", "qwen3_next", "qwen3_vl", "seed_oss", "smollm3", "llama4", "gpt_oss"),
}
IGNORERS = {
    *("cohere", "cohere2", "ernie4_5", "ernie4_5_moe", "gemma", "gemma2", "gemma3n", "glm4", "glm4_moe", "gpt_neox"),
    *("helium", "lfm2", "lfm2_moe", "llama4_text", "minimax", "mixtral", "nanochat", "olmo_hybrid", "phi"),
    *("qwen3_moe", "qwen3_vl_moe", "stablelm", "starcoder2", "granitemoehybrid"),
}
RECORDED = [1.0, 0.225418, 0.05081327, 0.00679496, 0.000456484, 1.818834e-05, 4.099979e-06, 9.24209e-07]


def build(config: dict[str, Any]) -> Any:
    """The network that mlx-lm makes of a config in every spelling, and its rotary modules."""
    spelled = normalised(config, has_head=True, required=required_keys)
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    return module.Model(module.ModelArgs.from_dict(spelled))


def turning(network: Any) -> list[list[float]]:
    """The wavelengths of every rotary module, in the order of the layers; for a dynamic one what they follow from."""
    found = []
    for module in rope_modules._modules(network):
        if isinstance(module, DynamicNTKScalingRoPE):
            found.append([module.base, module.factor])
        elif "_freqs" in module or hasattr(module, "scale"):
            found.append([round(value, 2) for value in rope_modules.wavelengths(module).tolist()])  # type: ignore[union-attr]
    return found


def second(base: float, dims: int) -> float:
    """What the second pair of a head's values divides the position by."""
    return float(base ** (2 / dims))


@pytest.mark.parametrize("name", names())
def test_both_spellings_build_the_same_network(name: str) -> None:
    """The base in the file is the base in the modules, whichever version of Transformers wrote it."""
    config = modern(name)
    network, other = build(config), build(old(modern(name)))
    assert turning(network) == turning(other)
    if name in DEAF:
        with pytest.raises(rope_modules.Unread, match="rope_theta"):
            rope_modules.check(network, config)
        return
    rope_modules.check(network, config)
    rope_modules.check(other, old(modern(name)))
    bases = {BASE, LOCAL_BASE} if name in TWO_BASES else {BASE}
    for base in bases if turning(network) and "hunyuan" not in name else ():
        assert any(each[1] == pytest.approx(second(base, 2 * len(each)), rel=1e-2) for each in turning(network)), base


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("name", sorted(FOLLOWERS))
def test_a_scaling_is_followed_in_both_spellings(name: str, kind: str) -> None:
    config, other = _scaled(name, kind), old(_scaled(name, kind))
    network, from_old = build(config), build(other)
    rope_modules.check(network, config)
    rope_modules.check(from_old, other)
    assert turning(network) == turning(from_old)
    assert kind == "dynamic" or turning(network) != turning(build(modern(name)))


@pytest.mark.parametrize("name", sorted(IGNORERS))
def test_a_scaling_that_nobody_reads_is_refused(name: str) -> None:
    """mlx-lm's code for these has no word of it and would compute as if it were not there."""
    for kind in SCALINGS:
        for config in (_scaled(name, kind), old(_scaled(name, kind))):
            with pytest.raises(rope_modules.Unread, match=kind):
                rope_modules.check(build(config), config)


def _scaled(name: str, kind: str) -> dict[str, Any]:
    config = modern(name)
    for section in sections(config):
        for layer, settings in by_layer(section.get("rope_parameters") or {}).items():
            if layer != "sliding_attention":
                settings |= {"rope_type": kind, **SCALINGS[kind]}
    return config


def test_settings_of_one_layer_type_that_nobody_reads_are_refused() -> None:
    """OLMo 3's code has one base for all layers; a file may name two."""
    config = modern("olmo3")
    config["rope_parameters"]["sliding_attention"]["rope_theta"] = LOCAL_BASE
    with pytest.raises(rope_modules.Unread, match="54321"):
        rope_modules.check(build(config), config)


def test_yarn_without_rounding_is_what_transformers_computes() -> None:
    """gpt-oss: mlx-lm's YaRN rounds the correction range, the file says not to; and a stated factor for attention.

    The inverse frequencies are those of Transformers' `_compute_yarn_parameters` with torch 2.13.
    """
    config = modern("gpt_oss")
    config["rope_parameters"] = {
        "rope_type": "yarn",
        "rope_theta": 150000.0,
        "factor": 32.0,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "truncate": False,
        "attention_factor": 1.25,
        "original_max_position_embeddings": 4096,
    }
    config |= {"head_dim": 16, "num_hidden_layers": 2}
    network = build(config)
    rope_modules.check(network, config)
    module = next(rope_modules._modules(network))
    assert (1 / module._freqs).tolist() == pytest.approx(RECORDED, rel=1e-5)  # type: ignore[union-attr]
    assert module.mscale == 1.25


PUBLISHED: dict[str, dict[str, Any]] = {
    "gemma 3, which leaves most to the class": {
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 8,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
    },
    "phi 4 mini, three quarters of a head": {
        "model_type": "phi3",
        "hidden_size": 3072,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 24,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-5,
        "vocab_size": 64,
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096,
        "partial_rotary_factor": 0.75,
        "rope_theta": 10000.0,
        "rope_scaling": {"type": "longrope", "long_factor": [2.0] * 48, "short_factor": [1.0] * 48},
    },
    "phi 3.5 moe, which states its scales": {
        "model_type": "phimoe",
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096,
        "rope_theta": 10000.0,
        "rope_scaling": {
            "type": "longrope",
            "long_factor": [2.0] * 32,
            "short_factor": [1.0] * 32,
            "long_mscale": 1.243163121016122,
            "short_mscale": 1.243163121016122,
            "original_max_position_embeddings": 4096,
        },
    },
    "qwen 2.5, sections for pictures": {
        "model_type": "qwen2",
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "vocab_size": 64,
        "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    },
    "step 3.5, a base for each layer and scaling for some": {
        "model_type": "step3p5",
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "vocab_size": 64,
        "num_attention_heads": 4,
        "num_attention_groups": 2,
        "head_dim": 16,
        "intermediate_size": 64,
        "rope_theta": [5000000.0, 10000.0, 10000.0, 10000.0],
        "layer_types": ["full_attention", *["sliding_attention"] * 3],
        "yarn_only_types": ["full_attention"],
        "partial_rotary_factors": [0.5, 1.0, 1.0, 1.0],
        "rope_scaling": SCALINGS["llama3"] | {"rope_type": "llama3"},
        "attention_other_setting": {"num_attention_heads": 4, "num_attention_groups": 2, "head_dim": 16},
    },
    "olmo 3, scaled in full layers alone": {
        "model_type": "olmo3",
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-6,
        "vocab_size": 64,
        "max_position_embeddings": 65536,
        "sliding_window": 16,
        "rope_theta": 500000,
        "layer_types": [*["sliding_attention"] * 3, "full_attention"],
        "rope_scaling": SCALINGS["yarn"] | {"rope_type": "yarn", "attention_factor": 1.2079441541679836},
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_configs_as_they_were_published(name: str) -> None:
    """None of these may be refused, odd as they are."""
    rope_modules.check(build(copy.deepcopy(PUBLISHED[name])), PUBLISHED[name])


def test_contradictions_are_errors_and_not_guesses() -> None:
    scaling = {"rope_type": "llama3", "factor": 8.0}
    for parameters in ({"rope_type": "yarn", "factor": 8.0}, {"full_attention": {"rope_type": "default"}}):
        with pytest.raises(BadConfig, match="rope_scaling and rope_parameters"):
            rotations({"model_type": "llama", "rope_scaling": scaling, "rope_parameters": parameters})
    with pytest.raises(BadConfig, match="rope_scaling is not an object"):
        rotations({"rope_scaling": "linear"})
    with pytest.raises(BadConfig, match="has no factor"):
        rotations({"rope_parameters": {"rope_type": "yarn"}})


def test_where_two_places_name_a_base_the_newer_counts() -> None:
    """As in Transformers 5."""
    found = rotations({"rope_theta": 10000.0, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}})
    assert found["full_attention"].base == 500000.0


@pytest.mark.parametrize(
    ("kinds", "length"),
    [("SSF", 3), ("SSFSSF", 3), ("SSFS", 3), ("FFFF", 1), ("SSSS", 5), ("SFSS", None), ("FSSS", None), (None, None)],
)
def test_a_row_of_layer_types_as_a_period(kinds: str | None, length: int | None) -> None:
    words = {"S": "sliding_attention", "F": "full_attention"}
    assert period([words[kind] for kind in kinds] if kinds else None) == length


def test_layers_with_a_window_stand_where_the_file_says(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    """Transformers 5 writes `layer_types` and no `sliding_window_pattern`, and mlx-lm's default would be six."""
    config = json.loads((checkpoint("gemma3") / "config.json").read_text())
    assert config.pop("sliding_window_pattern") == 3
    config["layer_types"] = ["sliding_attention", "sliding_attention", "full_attention"] * 2
    network = build(config)
    assert [layer.self_attn.is_sliding for layer in network.layers] == [True, True, False] * 2
    exaone = modern("exaone4") | {"layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2}
    assert [layer.self_attn.is_local for layer in build(exaone).layers] == [True, False]


def test_names_that_transformers_changed() -> None:
    spelled = normalised(
        {"num_local_experts": 4, "dtype": "bfloat16", "text_config": {"vocab_size": 9, "torch_dtype": "float16"}},
        has_head=False,
        required=lambda _: (),
    )
    assert (spelled["num_experts"], spelled["torch_dtype"], spelled["vocab_size"]) == (4, "bfloat16", 9)
    assert spelled["text_config"]["dtype"] == "float16"
    granite = normalised(
        {"model_type": "granitemoehybrid", "layer_types": ["linear_attention", "full_attention"]},
        has_head=False,
        required=lambda _: (),
    )
    assert granite["layer_types"] == ["mamba", "attention"]
    assert granite["position_embedding_type"] == "nope"


@pytest.mark.parametrize(
    ("config", "has_head", "tied"),
    [
        ({}, True, False),
        ({}, False, True),
        ({"tie_word_embeddings": True}, True, True),
        ({"tie_word_embeddings": False, "text_config": {}}, False, False),
        ({"text_config": {"tie_word_embeddings": True}}, True, True),
    ],
)
def test_whether_the_embedding_is_the_head(config: dict[str, Any], has_head: bool, tied: bool) -> None:
    """Where no part of the file says so, the weights do: a default would throw a head away, or miss it."""
    spelled = normalised(config, has_head=has_head, required=lambda _: ())
    assert list(sections(spelled))[-1]["tie_word_embeddings"] is tied


def test_what_an_architecture_cannot_do_without_follows_from_the_rest() -> None:
    """The rule of Transformers: `head_dim` and `num_key_value_heads` may be left out, or null."""
    config = {"model_type": "qwen3", "hidden_size": 64, "num_attention_heads": 4, "head_dim": None}
    spelled = normalised(config, has_head=False, required=required_keys)
    assert (spelled["head_dim"], spelled["num_key_value_heads"]) == (16, 4)
    assert "num_key_value_heads" not in normalised(
        config | {"model_type": "llama"}, has_head=False, required=required_keys
    )


def test_a_missing_key_is_named(checkpoint: Callable[[str], Path]) -> None:
    config = json.loads((checkpoint("qwen3") / "config.json").read_text())
    del config["rms_norm_eps"]
    with pytest.raises(BadConfig, match="lacks rms_norm_eps, which model type 'qwen3' needs"):
        open_network(checkpoint("qwen3"), config)
