"""The starter that is written on the spot: the same bytes everywhere, and MLX really runs it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_serve.store import builtin
from mlx_serve.store.checkpoint import write_checkpoint
from mlx_serve.store.errors import UnknownModel
from mlx_serve.store.store import Store
from mlx_serve.store.vocabulary import byte_alphabet, learn
from mlx_serve.store.weights import read_header

GENERATE = """
import json, sys
from mlx_lm import load, stream_generate

model, tokenizer = load(sys.argv[1])
messages = [{"role": "user", "content": sys.argv[2]}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)
answer = list(stream_generate(model, tokenizer, prompt, max_tokens=6))
print(json.dumps({
    "text": tokenizer.decode(prompt), "ids": prompt, "tokens": [one.token for one in answer],
    "finite": all(one.logprobs.max().item() <= 0 for one in answer), "eos": sorted(tokenizer.eos_token_ids),
    "words": [tokenizer.decode([i]) for i in range(512)],
}))
"""


def test_mlx_loads_the_starter_and_generates(store: Store) -> None:
    question = "Grüße, 世界! \n\t🙂 don't"
    view = store.view(store.pull("starter"))
    done = subprocess.run(
        [sys.executable, "-c", GENERATE, str(view), question], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["text"] == f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    assert 1 <= len(said["tokens"]) <= 6
    assert all(0 <= token < 512 for token in said["tokens"])
    assert said["finite"]
    assert [said["words"][token] for token in said["eos"]] == ["<|endoftext|>", "<|im_end|>"]
    assert all(said["words"])


def test_the_starter_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """If this fails because the checkpoint was changed on purpose, put the new digest here."""
    write_checkpoint(tmp_path)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert digests["model.safetensors"] == "ac1f28f795cde9d9ada91d68b7c32fac77e132325e96be1a3f2f5c1575ba279e"
    assert digests["tokenizer.json"] == "53db198381c172fa2b0f1ec0915c7d34948a9474cd2fdef9d5a6c269f8ea7d61"


def test_the_starter_says_what_it_is(store: Store) -> None:
    model = store.pull_builtin("starter")
    assert model.name.display() == "mlx-serve/starter"
    assert model.manifest.kind == "llm"
    assert "random weights" in model.manifest.kind_reason
    assert "machinery works" in model.manifest.kind_reason
    card = (store.view(model) / "README.md").read_text()
    assert "weights are random" in card
    assert "only proves that the machinery works" in card
    tensors = read_header(store.view(model) / "model.safetensors", "model.safetensors")
    assert model.manifest.parameters == sum(tensor.elements for tensor in tensors.values())
    assert (model.manifest.context_length, model.manifest.dtype) == (2048, "float32")
    assert store.find("starter") == store.find("STARTER:latest") == model


def test_pulling_the_starter_twice_changes_nothing(store: Store) -> None:
    assert store.pull_builtin("starter") == store.pull_builtin("mlx-serve/starter:latest")
    assert store.gc().blobs == 0


def test_shipped_files_come_before_written_ones(
    store: Store, make_model: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(make_model)
    make_model("starter")
    monkeypatch.setattr(builtin, "_SHIPPED", tmp_path / "sources")
    model = store.pull("starter", name="mine")
    assert model.name.display() == "local/mine"
    assert model.manifest.parameters == 36


def test_an_unknown_built_in_lists_the_known_ones(store: Store) -> None:
    with pytest.raises(UnknownModel) as caught:
        store.pull_builtin("finisher")
    assert "starter" in (caught.value.hint or "")


def test_the_alphabet_has_one_printable_character_for_each_byte() -> None:
    alphabet = byte_alphabet()
    assert len(set(alphabet)) == 256
    assert all(letter.isprintable() and not letter.isspace() for letter in alphabet)
    assert [alphabet[ord(letter)] for letter in "aZ~!"] == list("aZ~!")
    assert alphabet[ord(" ")] == "Ġ"
    assert alphabet[ord("\n")] == "Ċ"


def test_a_vocabulary_is_learned_by_frequency() -> None:
    vocabulary = learn("abab abab abc", 256 + 2 + 1, ("<end>",), 1)
    assert vocabulary.merges == (("a", "b"), ("ab", "ab"))
    assert vocabulary.tokens[256:] == ("ab", "abab")
    assert vocabulary.id_of("<end>") == 258
    with pytest.raises(ValueError, match="too short"):
        learn("ab", 1000, (), 0)
