"""What Ollama's show and tags say about one model, from its manifest and its small text files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ...daemon.parameters import TABLE
from ...store.inspect.recommended import recommended
from ...store.inspect.weights import read_header
from ..jsontext import encode
from .model_info import model_info
from .times import local

if TYPE_CHECKING:
    from ...store.disk.manifests import Overrides
    from ...store.store import Installed, Store

MAX_TEXT = 256 << 10
MAX_TOKENIZER_CONFIG = 16 << 20
_LICENSES = ("license", "license.txt", "license.md", "copying")
_PARAMETERS = {name: row.ollama.name for name, row in TABLE.items() if row.recommended and row.ollama is not None}


class _TokenizerConfig(msgspec.Struct):
    chat_template: Any = None


_configs = msgspec.json.Decoder(_TokenizerConfig)


def details(model: Installed) -> dict[str, Any]:
    manifest = model.manifest
    result: dict[str, Any] = {
        "parent_model": manifest.parent or "",
        "format": "safetensors",
        "family": manifest.architecture,
        "families": [manifest.architecture],
        "parameter_size": _count_text(manifest.parameters),
        "quantization_level": _quantization(model),
    }
    if manifest.context_length:
        result["context_length"] = manifest.context_length
    if manifest.embedding_length:
        result["embedding_length"] = manifest.embedding_length
    return result


def shown(store: Store, model: Installed, given: Overrides, *, verbose: bool = False) -> dict[str, Any]:
    """`given` are settings that the client wants to see in place of the model's own; `verbose`: with the vocabulary and
    the tensors. Reads files: not for the event loop. Raises store errors."""
    folder = store.view(model, checked=False)
    names = {layer.path.lower(): layer.path for layer in model.manifest.layers if layer.size <= MAX_TEXT}
    overrides = with_given(model.overrides, given)
    parameters = _parameters(folder, overrides)
    result: dict[str, Any] = {
        "modelfile": _modelfile(model, overrides, parameters),
        "details": details(model),
        "model_info": model_info(model, folder, verbose=verbose),
        "capabilities": list(model.manifest.capabilities),
        "modified_at": local(model.modified),
    }
    if parameters:
        result["parameters"] = "\n".join(f"{name:<30} {value}" for name, value in parameters)
    if overrides.system:
        result["system"] = overrides.system
    if overrides.messages:
        result["messages"] = list(overrides.messages)
    if template := overrides.template or _template(folder, model):
        result["template"] = template
    if text := "\n".join(overrides.license) or _license(folder, names):
        result["license"] = text
    if verbose:
        result["tensors"] = tensors(model, folder)
    return result


def with_given(own: Overrides, given: Overrides) -> Overrides:
    """A model's settings, with those in their place that a request gives."""
    return msgspec.structs.replace(
        own,
        system=given.system or own.system,
        template=given.template or own.template,
        parameters=own.parameters | given.parameters,
    )


def tensors(model: Installed, folder: Path) -> list[dict[str, Any]]:
    """Every tensor of the weight files, as it is stored. Raises DamagedModel."""
    paths = [layer.path for layer in model.manifest.layers if layer.path.endswith(".safetensors")]
    return [
        {"name": name, "type": tensor.dtype, "shape": list(tensor.shape)}
        for path in sorted(paths)
        for name, tensor in sorted(read_header(folder / path, path).items())
    ]


def _license(folder: Path, names: dict[str, str]) -> str | None:
    found = next((names[name] for name in _LICENSES if name in names), None)
    return None if found is None else (folder / found).read_text("utf-8", "replace")


def _modelfile(model: Installed, overrides: Overrides, parameters: list[tuple[str, str]]) -> str:
    """Ollama's text form of a model: what `create` would need to make this one again."""
    lines = [f"FROM {model.name}"]
    if overrides.template:
        lines.append(f'TEMPLATE """{overrides.template}"""')
    if overrides.system:
        lines.append(f'SYSTEM """{overrides.system}"""')
    lines += [f"PARAMETER {name} {value}" for name, value in parameters]
    lines += [f"MESSAGE {message['role']} {_quoted(message['content'])}" for message in overrides.messages]
    lines += [f'LICENSE """{text}"""' for text in overrides.license]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return f'"""{text}"""' if "\n" in text or '"' in text else text


def _template(folder: Path, model: Installed) -> str | None:
    sizes = {layer.path: layer.size for layer in model.manifest.layers}
    if 0 < sizes.get("chat_template.jinja", 0) <= MAX_TEXT:
        return (folder / "chat_template.jinja").read_text("utf-8", "replace")
    if not 0 < sizes.get("tokenizer_config.json", 0) <= MAX_TOKENIZER_CONFIG:
        return None
    try:
        config = _configs.decode((folder / "tokenizer_config.json").read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    template = config.chat_template
    return template if isinstance(template, str) and len(template) <= MAX_TEXT else None


def _parameters(folder: Path, overrides: Overrides) -> list[tuple[str, str]]:
    """What the model's authors recommend, its creator set and the user's settings say, under Ollama's names and in its
    notation."""
    found = recommended(folder)
    values = {ollama: found[ours] for ours, ollama in _PARAMETERS.items() if ours in found} | overrides.parameters
    return [
        (name, encode(item).decode())
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
    ]


def _quantization(model: Installed) -> str:
    quantization = model.manifest.quantization
    if quantization is None:
        return {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}.get(model.manifest.dtype or "", "unknown")
    return f"int{quantization.bits}" if quantization.mode == "affine" else quantization.mode


def _count_text(parameters: int) -> str:
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if parameters >= size:
            number = parameters / size
            return f"{number:.0f}{unit}" if number >= 100 or unit == "K" else f"{number:.1f}{unit}"
    return str(parameters)
