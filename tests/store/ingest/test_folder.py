"""Pulling from a folder: which files come along, which folders are refused, and that the source stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlx_serve.store.errors import DamagedModel, SourceError, StoreError, UnsupportedModel
from mlx_serve.store.ingest import folder as folders
from mlx_serve.store.ingest.folder import scan
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]
INDEX = "model.safetensors.index.json"


def names(folder: Path) -> list[str]:
    return [file.path for file in scan(folder)]


def tree(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.stat().st_ino,
            path.read_bytes(),
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_refused(store: Store, folder: Path, error: type[StoreError], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        store.pull_folder(folder)
    assert len(str(caught.value)) < 500
    assert store.models() == []
    assert list((store.directory / "blobs").iterdir()) == []
    assert list((store.directory / "partial").iterdir()) == []


def test_only_files_that_serving_needs_come_along(make_model: MakeModel, pack: Callable[..., bytes]) -> None:
    kept = {
        "LICENSE": "l", "LICENSE.txt": "l", "README.md": "r", "NOTICE": "n", "chat_template.jinja": "t",
        "merges.txt": "m", "tokenizer.model": b"s", "vocab.json": {}, "preprocessor_config.json": {}, "q.tiktoken": "",
        "additional_chat_templates/tool_use.jinja": "t", "1_Pooling/config.json": {}, "2_Normalize/config.json": {},
        "modules.json": [], "config_sentence_transformers.json": {}, "sentence_bert_config.json": {},
    }  # fmt: skip
    left = {
        "modeling_evil.py": "import os", "pytorch_model.bin": b"x", "model.pt": b"x", "model.gguf": b"x", "x.pkl": b"x",
        "adapter_model.safetensors": b"x", "adapters.safetensors": b"x", "consolidated.safetensors": b"x",
        "training_args.json": {}, ".gitattributes": "x", ".git/config": "x", "onnx/model.onnx": b"x", "LICENSE.py": "x",
        "README.so": "x", "1_Pooling/evil.py": "x", "original/config.json": {}, "run.sh": "x", "a b\n.json": "x",
    }  # fmt: skip
    folder = make_model(files=kept | left)
    assert names(folder) == sorted([*kept, "config.json", "tokenizer.json", "model.safetensors"])


def test_an_index_decides_which_weights_belong(make_model: MakeModel, pack: Callable[..., bytes]) -> None:
    files = {
        "model.safetensors": None,
        "model-1.safetensors": pack({"a": ("F32", [2])}),
        "model-2.safetensors": pack({"b": ("F32", [2])}),
        "model-old.safetensors": pack({"a": ("F32", [9])}),
        INDEX: {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}},
    }
    folder = make_model(files=files)
    assert names(folder) == ["config.json", "model-1.safetensors", "model-2.safetensors", INDEX, "tokenizer.json"]


def test_a_model_keeps_its_files_byte_for_byte_and_its_source_untouched(store: Store, make_model: MakeModel) -> None:
    folder = make_model(files={"1_Pooling/config.json": {"pooling_mode_mean_tokens": True}})
    before = tree(folder)
    model = store.pull_folder(folder)
    view = store.view(model)
    assert {path: entry[3] for path, entry in tree(view).items()} == {path: entry[3] for path, entry in before.items()}
    assert tree(folder) == before
    assert model.size == sum(len(entry[3]) for entry in before.values())
    assert (model.manifest.source.kind, model.manifest.source.location) == ("local", str(folder))


def test_writing_into_the_source_afterwards_does_not_reach_the_store(store: Store, make_model: MakeModel) -> None:
    folder = make_model()
    model = store.pull_folder(folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\xff\xff\xff\xff")
    assert all(file.ok for file in store.verify())
    assert (store.view(model) / "model.safetensors").read_bytes()[-4:] == b"\0\0\0\0"


def test_links_to_regular_files_are_followed_as_in_the_hub_cache(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(hub_snapshot(make_model()))
    assert model.name.display() == "Qwen/Qwen3-0.6B"
    assert not any(
        (store.directory / "blobs").joinpath(f"sha256-{layer.hex}").is_symlink() for layer in model.manifest.layers
    )


def hub_snapshot(real: Path) -> Path:
    """The files of a folder as the hub's library keeps them."""
    repository = real.parent / "models--Qwen--Qwen3-0.6B"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for number, path in enumerate(sorted(real.iterdir())):
        path.rename(repository / "blobs" / f"{number:040x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040x}")
    return snapshot


@pytest.mark.parametrize("how", ["absolute", "relative", "by way of another", "through a folder", "of the hub's cache"])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "LICENSE"])
def test_a_link_that_leaves_the_folder_is_refused_with_the_files_name(
    store: Store, make_model: MakeModel, how: str, name: str
) -> None:
    """Else pulling a folder that somebody gave you would publish whatever file of yours it names."""
    folder = make_model(files={"LICENSE": "MIT"})
    secret = folder.parent / "secret"
    (folder / name).rename(secret)
    if how == "absolute":
        (folder / name).symlink_to(secret)
    elif how == "relative":
        (folder / name).symlink_to("../secret")
    elif how == "by way of another":
        (folder / "first").symlink_to("../secret")
        (folder / name).symlink_to("first")
    elif how == "through a folder":
        (folder / "up").symlink_to("..")
        (folder / name).symlink_to("up/secret")
    else:
        (folder / name).write_text("")
        folder = hub_snapshot(folder)
        (folder / name).unlink()
        (folder / name).symlink_to(secret)
    assert_refused(store, folder, SourceError, f"{name} is a symbolic link, or in one, that leads out of the folder")


def test_a_folder_that_is_a_link_out_of_the_folder_is_refused(store: Store, make_model: MakeModel) -> None:
    folder = make_model(files={"1_Pooling/config.json": {}})
    (folder / "1_Pooling").rename(folder.parent / "elsewhere")
    (folder / "1_Pooling").symlink_to("../elsewhere")
    assert_refused(store, folder, SourceError, "1_Pooling/config.json is a symbolic link, or in one,")


def test_a_blob_of_the_hubs_cache_that_is_a_link_itself_is_refused(store: Store, make_model: MakeModel) -> None:
    snapshot = hub_snapshot(make_model())
    blob = (snapshot / "tokenizer.json").resolve()
    blob.rename(snapshot.parents[2] / "secret")
    blob.symlink_to(snapshot.parents[2] / "secret")
    assert_refused(store, snapshot, SourceError, "tokenizer.json is a symbolic link")


@pytest.mark.timeout(10)
def test_links_in_a_circle_are_refused(store: Store, make_model: MakeModel) -> None:
    folder = make_model(files={"tokenizer.json": None})
    (folder / "tokenizer.json").symlink_to("other.json")
    (folder / "other.json").symlink_to("tokenizer.json")
    assert_refused(store, folder, SourceError, "cannot be read")


def test_links_that_stay_in_the_folder_are_followed(store: Store, make_model: MakeModel, tmp_path: Path) -> None:
    """Relative, absolute, to a link, and below a folder that is reached by a link itself; the folder may be one too."""
    folder = make_model(files={"deep/down/real.json": {"version": "1.0"}, "1_Pooling/config.json": {}})
    (folder / "tokenizer.json").unlink()
    (folder / "short").symlink_to(folder / "deep" / "down")
    (folder / "first").symlink_to("short/real.json")
    (folder / "tokenizer.json").symlink_to(folder / "first")
    (folder / "pooling").symlink_to("1_Pooling")
    (tmp_path / "named").symlink_to(folder)
    model = store.pull_folder(tmp_path / "named")
    view = store.view(model)
    assert (view / "tokenizer.json").read_text() == '{"version": "1.0"}'
    assert not any(path.resolve().is_relative_to(folder) for path in view.rglob("*"))


@pytest.mark.parametrize("what", ["the file", "a folder on the way"])
def test_a_link_put_in_the_place_of_a_file_meanwhile_is_not_followed(
    store: Store, make_model: MakeModel, what: str
) -> None:
    """After the folder was looked at and before the file is opened; the secret looks the same from outside."""
    folder = make_model(files={"1_Pooling/config.json": {"a": 1}})
    target = folder / "1_Pooling" / "config.json"
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "config.json").write_text('{"s": 1}')
    os.utime(outside / "config.json", ns=(target.stat().st_mtime_ns,) * 2)

    def swap(progress: Any) -> None:
        if progress.path == "1_Pooling/config.json" and not target.parent.is_symlink() and target.exists():
            if what == "the file":
                target.unlink()
                target.symlink_to(outside / "config.json")
            else:
                target.parent.rename(folder.parent / "aside")
                target.parent.symlink_to(outside)

    with pytest.raises(SourceError, match=r"1_Pooling/config\.json"):
        store.pull_folder(folder, progress=swap)
    assert store.models() == []
    blobs = [path.read_bytes() for path in (store.directory / "blobs").iterdir()]
    assert b'{"s": 1}' not in blobs


def test_another_file_of_the_same_size_and_time_put_in_its_place_is_noticed(
    store: Store, make_model: MakeModel
) -> None:
    folder = make_model()
    target = folder / "tokenizer.json"
    other = folder / "other"
    other.write_text(target.read_text().replace("1", "2"))
    os.utime(other, ns=(target.stat().st_mtime_ns,) * 2)

    def swap(progress: Any) -> None:
        if progress.path == "tokenizer.json" and other.exists():
            other.rename(target)

    with pytest.raises(SourceError, match=r"tokenizer\.json changed while it was being read"):
        store.pull_folder(folder, progress=swap)


def test_a_folder_without_a_name_is_called_after_itself(store: Store, make_model: MakeModel) -> None:
    assert store.pull_folder(make_model("My Model (v2)")).name.display() == "local/My-Model-v2"
    assert store.pull_folder(make_model("other"), name="tiny:v3").name.display() == "local/tiny:v3"
    assert store.pull_folder(make_model("other"), name="me/tiny").name.display() == "me/tiny"


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ("config.json", {"model_type": "qwen3", "auto_map": {"AutoModel": "evil.Model"}}),
        ("config.json", {"model_type": "qwen3", "model_file": "evil.py"}),
        ("config.json", {"model_type": "qwen3", "trust_remote_code": True}),
        ("config.json", {"model_type": "qwen3", "trust_remote_code": "yes"}),
        ("config.json", {"model_type": "qwen3", "text_config": {"deep": [{"auto_map": {"a": "b"}}]}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.T", None]}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "evil.P"}}),
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "evil.P"}}),
        ("modules.json", [{"type": "custom_st.Transformer", "path": ""}]),
    ],
)
def test_a_config_that_asks_for_remote_code_is_refused(
    store: Store, make_model: MakeModel, file: str, document: Any
) -> None:
    assert_refused(store, make_model(files={file: document, "evil.py": "raise SystemExit"}), UnsupportedModel, file)


def test_a_config_that_declines_remote_code_is_fine(store: Store, make_model: MakeModel) -> None:
    store.pull_folder(make_model(config={"trust_remote_code": False, "auto_map": None, "time_limit": float("inf")}))


@pytest.mark.parametrize(
    ("files", "error", "match"),
    [
        ({"config.json": None}, SourceError, "no config.json"),
        ({"config.json": b"{"}, DamagedModel, "config.json is not valid JSON"),
        ({"config.json": b"[" * 100_000}, DamagedModel, "config.json is not valid JSON"),
        ({"config.json": b"\xff\xfe\x00"}, DamagedModel, "config.json is not valid JSON"),
        ({"config.json": []}, DamagedModel, "not a JSON object"),
        ({"tokenizer_config.json": "nope"}, DamagedModel, "tokenizer_config.json"),
        ({"model.safetensors": None}, SourceError, "no .safetensors"),
        ({"model.safetensors": None, "pytorch_model.bin": b"x"}, UnsupportedModel, "pytorch_model.bin"),
        ({"model.safetensors": None, "model.gguf": b"x"}, UnsupportedModel, "model.gguf"),
        ({"model.safetensors": b""}, DamagedModel, "the file is truncated"),
        ({"model.safetensors": b"\x10" + bytes(7) + b"{}"}, DamagedModel, "shorter than its header"),
        (
            {INDEX: {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}},
            SourceError,
            "model-2.safetensors",
        ),
        ({"model.safetensors": None, "model-00001-of-00002.safetensors": b"x"}, SourceError, "model-00002-of-00002"),
        ({INDEX: {"weight_map": {"a": "../x.safetensors"}}}, DamagedModel, "outside of its folder"),
        ({INDEX: {"weight_map": {"no.such": "model.safetensors"}}}, DamagedModel, "lacks tensor 'no.such'"),
        ({INDEX: {}}, DamagedModel, "no weight_map"),
        ({"CONFIG.json": {}}, SourceError, "differ only in case"),
        (
            {"chat_template.jinja": "x" * ((1 << 20) + 1)},
            SourceError,
            "chat_template.jinja is too large: 1048577",
        ),
    ],
)
def test_a_folder_that_is_no_sound_model_is_refused_before_anything_is_stored(
    store: Store, make_model: MakeModel, files: dict[str, Any], error: type[StoreError], match: str
) -> None:
    assert_refused(store, make_model(files=files), error, match)


def test_a_tensor_in_two_files_is_refused(store: Store, make_model: MakeModel, pack: Callable[..., bytes]) -> None:
    same = pack({"model.norm.weight": ("F32", [4])})
    files = {"model.safetensors": None, "model-a.safetensors": same, "model-b.safetensors": same}
    assert_refused(store, make_model(files=files), DamagedModel, "in another file as well")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "dangling"])
def test_what_is_no_regular_file_is_refused_and_never_hangs(
    store: Store, make_model: MakeModel, name: str, kind: str
) -> None:
    folder = make_model(files={name: None})
    path = folder / name
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else "/nowhere/at/all")
    assert_refused(store, folder, SourceError, name)


def test_places_that_are_no_folder_are_refused(
    store: Store, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model()
    assert_refused(store, folder / "missing", SourceError, "there is no folder")
    assert_refused(store, folder / "config.json", SourceError, "is not a folder")
    monkeypatch.setattr(folders, "_MAX_ENTRIES", 2)
    assert_refused(store, folder, SourceError, "more than 2 files")


def test_a_file_that_changes_while_it_is_copied_is_refused(store: Store, make_model: MakeModel) -> None:
    folder = make_model()

    def meddle(progress: Any) -> None:
        if progress.path == "model.safetensors" and progress.completed == 0:
            with (folder / "model.safetensors").open("ab") as file:
                file.write(b"more")

    with pytest.raises(SourceError, match="changed while it was being read"):
        store.pull_folder(folder, progress=meddle)
    assert store.models() == []
    assert list((store.directory / "partial").iterdir()) == []


def test_a_stated_kind_overrides_the_detected_one(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model(), kind="embedding")
    assert (model.manifest.kind, model.manifest.capabilities) == ("embedding", ("embedding",))
    assert model.manifest.kind_reason == "stated when the model was pulled"


def test_a_blob_of_another_store_is_shared_and_not_copied(store: Store, make_model: MakeModel, tmp_path: Path) -> None:
    first = store.pull_folder(make_model())
    second = Store.open(tmp_path / "second")
    again = second.pull_folder(store.view(first), name="again")
    for layer in again.manifest.layers:
        name = f"blobs/sha256-{layer.hex}"
        assert (store.directory / name).samefile(second.directory / name)
    store.remove("tiny")
    assert all(file.ok for file in second.verify())


def test_a_file_that_only_looks_like_a_blob_is_copied(store: Store, make_model: MakeModel) -> None:
    """Its name promises a digest that its content does not have."""
    folder = make_model("views/" + "1" * 64)
    fake = folder.parents[1] / "blobs" / ("sha256-" + "0" * 64)
    fake.parent.mkdir()
    (folder / "model.safetensors").rename(fake)
    fake.chmod(0o444)
    (folder / "model.safetensors").symlink_to(fake)
    store.pull_folder(folder)
    assert all(file.ok for file in store.verify())
    assert not (store.directory / "blobs" / fake.name).exists()
