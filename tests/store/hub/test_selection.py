"""What is taken of a repository, what is left, and what a repository without a usable model is told."""

from __future__ import annotations

import pytest

from mlx_serve.store.errors import DamagedModel, HubUnreachable, SourceError, UnsupportedModel
from mlx_serve.store.hub.repository import HubFile, Repository
from mlx_serve.store.hub.selection import select
from mlx_serve.store.inspect.weightsets import INDEX

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def file(path: str, size: int = 100) -> HubFile:
    return HubFile(path, size, "a" * 64 if path.endswith(".safetensors") else None, "b" * 40)


def repository(*paths: str, cached: bool = False) -> Repository:
    return Repository("owner/name", "c" * 40, tuple(file(path) for path in paths), cached)


def test_a_language_model() -> None:
    """Configs, tokenizer, templates, licence and card are kept; code, pickles and other formats are not."""
    kept = [
        "LICENSE", "README.md", "added_tokens.json", "additional_chat_templates/tool_use.jinja", "chat_template.jinja",
        "chat_template.json", "config.json", "generation_config.json", "hf_quant_config.json", "merges.txt", INDEX,
        "preprocessor_config.json", "processor_config.json", "qwen.tiktoken", "sentencepiece.bpe.model",
        "special_tokens_map.json", "spiece.model", "tekken.json", "tokenizer.json", "tokenizer.model",
        "tokenizer_config.json", "video_preprocessor_config.json", "vocab.json", "vocab.txt",
    ]  # fmt: skip
    left = [
        ".gitattributes", "modeling_x.py", "configuration_x.py", "pytorch_model.bin", "pytorch_model.bin.index.json",
        "pytorch_model-00001-of-00002.bin", "model.gguf", "onnx/model.onnx", "onnx/config.json", "tf_model.h5",
        "flax_model.msgpack", "openvino/openvino_model.xml", "training_args.bin", "trainer_state.json", "optimizer.pt",
        "consolidated.safetensors", "consolidated-00001-of-00002.safetensors", "adapter_config.json",
        "adapter_model.safetensors", "original/params.json", "original/consolidated.00.pth", "figures/a.png",
        "x.sh", "all_results.json", "runs/Dec/events.out", "model.safetensors.index.fp16.json",
        "checkpoint-5/model.safetensors", "tokenizer.pkl", "tool.ipynb", "imatrix.dat", "sparse_linear.pt",
    ]  # fmt: skip
    found = select(repository(*kept, *left, *SHARDS))
    assert sorted(one.path for one in found.small) == sorted(kept)
    assert tuple(one.path for one in found.weights) == SHARDS and found.has_index


def test_a_sentence_transformer() -> None:
    kept = [
        "1_Pooling/config.json", "2_Dense/config.json", "README.md", "config.json", "config_sentence_transformers.json",
        "modules.json", "sentence_bert_config.json", "tokenizer.json", "vocab.txt",
    ]  # fmt: skip
    left = ["1_Pooling/model.py", "2_Dense/pytorch_model.bin", "rust_model.ot", "onnx/model_O1.onnx", "train_script.py"]
    found = select(repository(*kept, *left, "model.safetensors", "2_Dense/model.safetensors"))
    assert sorted(one.path for one in found.small) == sorted(kept)
    assert [one.path for one in found.model_files(None)] == sorted(
        [*kept, "model.safetensors", "2_Dense/model.safetensors"]
    )


def test_the_index_settles_which_weights() -> None:
    found = select(repository("config.json", INDEX, "model.safetensors", *SHARDS))
    assert len(found.weights) == 3
    index = {"weight_map": {"a": SHARDS[0], "b": SHARDS[1]}}
    assert [one.path for one in found.model_files(index)] == ["config.json", *SHARDS, INDEX]
    stale = {"weight_map": {"a": "model-00001-of-00009.safetensors"}}
    assert [one.path for one in found.model_files(stale)] == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["../x.safetensors", "a/b.safetensors", "/etc/passwd", "x.bin", 7])
def test_an_index_cannot_name_other_files(name: object) -> None:
    found = select(repository("config.json", INDEX, "model.safetensors"))
    with pytest.raises(DamagedModel, match="outside of its folder"):
        found.model_files({"weight_map": {"a": name}})


def test_a_shard_that_is_not_there() -> None:
    found = select(repository("config.json", INDEX, *SHARDS))
    with pytest.raises(SourceError, match=r"more\.safetensors.*not in the repository"):
        found.model_files({"weight_map": {"a": SHARDS[0], "b": "more.safetensors"}})


@pytest.mark.parametrize(
    ("paths", "kind", "words"),
    [
        (("config.json", "a-Q4_K_M.gguf", "a-Q8_0.gguf"), UnsupportedModel, "only GGUF"),
        (("config.json", "pytorch_model.bin", "onnx/model.onnx"), UnsupportedModel, "only ONNX and PyTorch"),
        (("model_index.json", "unet/model.safetensors"), UnsupportedModel, "diffusion"),
        (("adapter_config.json", "adapter_model.safetensors"), UnsupportedModel, "adapter"),
        (("config.json", "modeling.py"), SourceError, "no .safetensors files, so"),
        (("model.safetensors",), SourceError, "no config.json"),
        (("config.json", "sub/model.safetensors"), SourceError, "beside its config.json"),
        ((), SourceError, "holds no weights"),
    ],
)
def test_what_is_no_model(paths: tuple[str, ...], kind: type[Exception], words: str) -> None:
    """The sentence says which formats are there."""
    with pytest.raises(kind, match=words) as caught:
        select(repository(*paths))
    assert type(caught.value) is kind and "owner/name" in str(caught.value)


def test_files_that_cannot_be_checked_or_are_too_large() -> None:
    """A kept file needs a digest, a bearable size, and weights more than nothing; files that are skipped do not."""
    good = (file("config.json"), file("model.safetensors"), HubFile("x.py", 1 << 40, None, None))
    select(Repository("owner/name", "c" * 40, good))
    for bad, words in (
        (HubFile("vocab.json", 5, None, None), "no digest for vocab.json"),
        (file("vocab.json", 65 << 20), "vocab.json .* is too large: 68.2 MB"),
        (file("model-2.safetensors", 0), "model-2.safetensors .* is empty"),
    ):
        with pytest.raises(SourceError, match=words):
            select(Repository("owner/name", "c" * 40, (*good, bad)))


def test_a_cache_that_holds_only_a_part() -> None:
    """Offline, a missing file is the cache's fault and not the repository's."""
    for paths in (("config.json",), ("model.safetensors",)):
        with pytest.raises(HubUnreachable, match=r"only part of owner/name.*HF_HUB_OFFLINE"):
            select(repository(*paths, cached=True))
