"""Which model types can be served: the same that the installed libraries resolve, without importing them."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlx_serve.store.disk.manifests import KINDS, Kind
from mlx_serve.store.errors import SourceError, UnsupportedModel
from mlx_serve.store.inspect import architectures
from mlx_serve.store.inspect.architectures import check, known
from mlx_serve.store.store import Store

# Types beside those in the libraries' tables: of each sort some, and some that do not exist or are no models.
SOME = [
    "llama", "qwen3", "gemma3", "gemma3_text", "lfm2-vl", "phi3", "gpt_oss", "Klear", "klear", "deepseek_v3", "mamba",
    "bert", "modernbert", "xlm_roberta", "qwen2_vl", "Qwen2_VL", "qwen3_embedding", "mllama", "got", "pixtral",
    "base", "cache", "rope_utils", "pooling", "t5", "no_such_type", "yolo11", "flux2", "mistral4", "nomic_bert",
]  # fmt: skip

RESOLVE = """
import json, sys
from mlx_lm.utils import MODEL_REMAPPING as lm, _get_classes
from mlx_vlm.utils import MODEL_REMAPPING as vlm, get_model_and_args
def has(resolve):
    try:
        return resolve()
    except Exception:
        return False
some = json.loads(sys.argv[1])
print(json.dumps({
    "llm": {name: has(lambda: bool(_get_classes({"model_type": name}))) for name in [*some, *lm]},
    "embedding": {name: has(lambda: hasattr(get_model_and_args({"model_type": name})[0], "Model"))
                  for name in [*some, *vlm]},
}))
"""


def test_the_libraries_themselves_say_the_same() -> None:
    """For every other name in their tables, and for types of each sort."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RESOLVE, json.dumps(SOME)], capture_output=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert {name: known(name, "llm") for name in said["llm"]} == said["llm"]
    vlm = architectures._mlx_vlm()
    assert vlm is not None
    assert {name: vlm.has(name) for name in said["embedding"]} == said["embedding"]
    assert {"mistral", "kimi_k2"} < said["llm"].keys() and said["llm"]["mistral"] and not said["llm"]["no_such_type"]


@pytest.mark.parametrize(
    ("model_type", "kinds"),
    [
        ("qwen3", ("llm", "embedding", "reranker")),
        ("gemma3", KINDS),
        ("qwen2_5_vl", KINDS),
        ("qwen3_vl", KINDS),
        ("idefics3", ("vlm", "embedding", "reranker")),
        ("gemma4", KINDS),
        ("mllama", ("embedding", "reranker")),
        ("bert", ("embedding", "reranker")),
        ("roberta", ("embedding", "reranker")),
        ("xlm-roberta", ("embedding", "reranker")),
        ("modernbert", ("embedding", "reranker")),
        ("mpnet", ()),
        ("nomic_bert", ()),
        ("t5", ()),
        ("base", ()),
        ("../qwen3", ()),
        ("models.qwen3", ()),
        ("", ()),
    ],
)
def test_what_serves_as_what(model_type: str, kinds: tuple[Kind, ...]) -> None:
    """Text needs mlx-lm, images mlx-vlm; vectors and relevance come from decoders and encoders."""
    assert tuple(kind for kind in KINDS if known(model_type, kind)) == kinds


def test_the_refusal_names_the_type_and_what_to_do() -> None:
    check("qwen3", "llm")
    with pytest.raises(
        UnsupportedModel, match=r"model_type 'qwen99' is not supported as llm by mlx-lm 0\..* mlx-vlm 0\."
    ):
        check("qwen99", "llm")
    with pytest.raises(UnsupportedModel, match="no code for what the model_type 'mllama' does with pictures"):
        check("mllama", "vlm")
    with pytest.raises(UnsupportedModel) as caught:
        check("bert", "llm")
    assert caught.value.hint == "it is supported as embedding or reranker; if the model is one, pull it with --type"


def test_neither_library_is_imported() -> None:
    code = "from mlx_serve.store.inspect.architectures import known; import sys; assert known('qwen3', 'llm'); "
    code += "assert not {'mlx', 'mlx_lm', 'mlx_vlm', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_pull_refuses_what_cannot_be_served(store: Store, make_model: Callable[..., Path]) -> None:
    """Nothing is stored; a stated type decides for what it is checked."""
    with pytest.raises(UnsupportedModel, match="'qwen99'"):
        store.pull_folder(make_model(config={"model_type": "qwen99"}))
    with pytest.raises(UnsupportedModel, match="'qwen3' is not supported as vlm"):
        store.pull_folder(make_model(), kind="vlm")
    with pytest.raises(SourceError):
        store.pull_folder(make_model("none", files={"config.json": None}))
    assert not list((store.directory / "blobs").iterdir()) and not store.models()


def test_without_the_libraries_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is used alone cannot tell, so it does not judge."""
    monkeypatch.setattr(architectures, "_mlx_lm", lambda: None)
    monkeypatch.setattr(architectures, "_mlx_vlm", lambda: None)
    check("anything", "llm")


def test_models_of_many_types_are_looked_at_in_many_threads_at_once(tmp_path: Path) -> None:
    """CPython 3.11 has one count of depth for all parsers of a process, and fails when the collector lets another
    thread in; here it does so all the time, and a load must not fail for it."""
    for number in range(120):
        (tmp_path / f"m{number}.py").write_text("class Model:\n    x = [[[1 + 2 * (3 - 4)], {5: 6}] for y in z]\n" * 40)

    def let_others_in(phase: str, info: object) -> None:
        time.sleep(0)

    gc.callbacks.append(let_others_in)
    thresholds = gc.get_threshold()
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda number: architectures._names(tmp_path, f"m{number}", False), range(120)))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(let_others_in)
    assert found == [frozenset({"Model"})] * 120
