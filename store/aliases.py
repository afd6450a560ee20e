"""Short names for common models, Ollama's among them, and the repositories they stand for.

4-bit conversions where they exist, else the original. A family's first size is what its bare name means. Aliases of
`models.aliases` in config.yaml take precedence. nomic-embed-text, moondream and minicpm-v are left out because their
repositories need remote code or have no safetensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .ingest.builtin import BUILTINS
from .names import DEFAULT_TAG

_LANGUAGE: dict[str, dict[str, str]] = {
    "qwen3": {
        "8b": "mlx-community/Qwen3-8B-4bit",
        "0.6b": "mlx-community/Qwen3-0.6B-4bit",
        "1.7b": "mlx-community/Qwen3-1.7B-4bit",
        "4b": "mlx-community/Qwen3-4B-4bit",
        "14b": "mlx-community/Qwen3-14B-4bit",
        "30b": "mlx-community/Qwen3-30B-A3B-4bit",
        "32b": "mlx-community/Qwen3-32B-4bit",
        "235b": "mlx-community/Qwen3-235B-A22B-4bit",
    },
    "qwen3-coder": {
        "30b": "mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit",
        "480b": "mlx-community/Qwen3-Coder-480B-A35B-Instruct-4bit",
    },
    "qwen3-coder-next": {DEFAULT_TAG: "mlx-community/Qwen3-Coder-Next-4bit"},
    "qwen3-next": {"80b": "mlx-community/Qwen3-Next-80B-A3B-Instruct-4bit"},
    "qwen2.5": {
        "7b": "mlx-community/Qwen2.5-7B-Instruct-4bit",
        "0.5b": "mlx-community/Qwen2.5-0.5B-Instruct-4bit",
        "1.5b": "mlx-community/Qwen2.5-1.5B-Instruct-4bit",
        "3b": "mlx-community/Qwen2.5-3B-Instruct-4bit",
        "14b": "mlx-community/Qwen2.5-14B-Instruct-4bit",
        "32b": "mlx-community/Qwen2.5-32B-Instruct-4bit",
        "72b": "mlx-community/Qwen2.5-72B-Instruct-4bit",
    },
    "qwen2.5-coder": {
        "7b": "mlx-community/Qwen2.5-Coder-7B-Instruct-4bit",
        "0.5b": "mlx-community/Qwen2.5-Coder-0.5B-Instruct-4bit",
        "1.5b": "mlx-community/Qwen2.5-Coder-1.5B-Instruct-4bit",
        "3b": "mlx-community/Qwen2.5-Coder-3B-Instruct-4bit",
        "14b": "mlx-community/Qwen2.5-Coder-14B-Instruct-4bit",
        "32b": "mlx-community/Qwen2.5-Coder-32B-Instruct-4bit",
    },
    "qwq": {"32b": "mlx-community/QwQ-32B-4bit"},
    "llama3": {"8b": "mlx-community/Meta-Llama-3-8B-Instruct-4bit"},
    "llama3.1": {
        "8b": "mlx-community/Meta-Llama-3.1-8B-Instruct-4bit",
        "70b": "mlx-community/Meta-Llama-3.1-70B-Instruct-4bit",
    },
    "llama3.2": {
        "3b": "mlx-community/Llama-3.2-3B-Instruct-4bit",
        "1b": "mlx-community/Llama-3.2-1B-Instruct-4bit",
    },
    "llama3.3": {"70b": "mlx-community/Llama-3.3-70B-Instruct-4bit"},
    "tinyllama": {"1.1b": "mlx-community/TinyLlama-1.1B-Chat-v1.0-4bit"},
    "gemma2": {
        "9b": "mlx-community/gemma-2-9b-it-4bit",
        "2b": "mlx-community/gemma-2-2b-it-4bit",
        "27b": "mlx-community/gemma-2-27b-it-4bit",
    },
    "mistral": {"7b": "mlx-community/Mistral-7B-Instruct-v0.3-4bit"},
    "mistral-nemo": {"12b": "mlx-community/Mistral-Nemo-Instruct-2407-4bit"},
    "mistral-small": {"24b": "mlx-community/Mistral-Small-24B-Instruct-2501-4bit"},
    "mixtral": {"8x7b": "mlx-community/Mixtral-8x7B-Instruct-v0.1-4bit"},
    "devstral": {"24b": "mlx-community/Devstral-Small-2507-4bit"},
    "phi": {"2.7b": "mlx-community/phi-2-hf-4bit-mlx"},
    "phi3": {
        "3.8b": "mlx-community/Phi-3-mini-4k-instruct-4bit",
        "14b": "mlx-community/Phi-3-medium-4k-instruct-4bit",
    },
    "phi3.5": {"3.8b": "mlx-community/Phi-3.5-mini-instruct-4bit"},
    "phi4": {"14b": "mlx-community/phi-4-4bit"},
    "phi4-mini": {"3.8b": "mlx-community/Phi-4-mini-instruct-4bit"},
    "deepseek-r1": {
        "8b": "mlx-community/DeepSeek-R1-0528-Qwen3-8B-4bit",
        "1.5b": "mlx-community/DeepSeek-R1-Distill-Qwen-1.5B-4bit",
        "7b": "mlx-community/DeepSeek-R1-Distill-Qwen-7B-4bit",
        "14b": "mlx-community/DeepSeek-R1-Distill-Qwen-14B-4bit",
        "32b": "mlx-community/DeepSeek-R1-Distill-Qwen-32B-4bit",
        "70b": "mlx-community/DeepSeek-R1-Distill-Llama-70B-4bit",
        "671b": "mlx-community/DeepSeek-R1-0528-4bit",
    },
    "gpt-oss": {
        "20b": "mlx-community/gpt-oss-20b-MXFP4-Q8",
        "120b": "mlx-community/gpt-oss-120b-MXFP4-Q8",
    },
    "smollm": {"135m": "mlx-community/SmolLM-135M-Instruct-4bit"},
    "smollm2": {
        "1.7b": "mlx-community/SmolLM2-1.7B-Instruct",
        "135m": "mlx-community/SmolLM2-135M-Instruct",
        "360m": "mlx-community/SmolLM2-360M-Instruct",
    },
    "granite3.3": {
        "8b": "mlx-community/granite-3.3-8b-instruct-4bit",
        "2b": "mlx-community/granite-3.3-2b-instruct-4bit",
    },
    "glm4": {"9b": "mlx-community/GLM-4-9B-0414-4bit"},
    "glm-4.7-flash": {DEFAULT_TAG: "mlx-community/GLM-4.7-Flash-4bit"},
    "olmo2": {"7b": "mlx-community/OLMo-2-1124-7B-Instruct-4bit"},
    "command-r": {"35b": "mlx-community/c4ai-command-r-v01-4bit"},
}

_VISION: dict[str, dict[str, str]] = {
    # The two smallest are language models without vision.
    "gemma3": {
        "4b": "mlx-community/gemma-3-4b-it-4bit",
        "270m": "mlx-community/gemma-3-270m-it-4bit",
        "1b": "mlx-community/gemma-3-1b-it-4bit",
        "12b": "mlx-community/gemma-3-12b-it-4bit",
        "27b": "mlx-community/gemma-3-27b-it-4bit",
    },
    "gemma3n": {
        "e4b": "mlx-community/gemma-3n-E4B-it-4bit",
        "e2b": "mlx-community/gemma-3n-E2B-it-4bit",
    },
    "gemma4": {
        "e4b": "mlx-community/gemma-4-e4b-it-4bit",
        "e2b": "mlx-community/gemma-4-e2b-it-4bit",
        "12b": "mlx-community/gemma-4-12B-it-4bit",
        "26b": "mlx-community/gemma-4-26b-a4b-it-4bit",
        "31b": "mlx-community/gemma-4-31b-it-4bit",
    },
    "translategemma": {
        "4b": "mlx-community/translategemma-4b-it-4bit",
        "12b": "mlx-community/translategemma-12b-it-4bit",
        "27b": "mlx-community/translategemma-27b-it-4bit",
    },
    "qwen2.5vl": {
        "7b": "mlx-community/Qwen2.5-VL-7B-Instruct-4bit",
        "3b": "mlx-community/Qwen2.5-VL-3B-Instruct-4bit",
        "32b": "mlx-community/Qwen2.5-VL-32B-Instruct-4bit",
        "72b": "mlx-community/Qwen2.5-VL-72B-Instruct-4bit",
    },
    "qwen3-vl": {
        "8b": "mlx-community/Qwen3-VL-8B-Instruct-4bit",
        "2b": "mlx-community/Qwen3-VL-2B-Instruct-4bit",
        "4b": "mlx-community/Qwen3-VL-4B-Instruct-4bit",
        "30b": "mlx-community/Qwen3-VL-30B-A3B-Instruct-4bit",
        "32b": "mlx-community/Qwen3-VL-32B-Instruct-4bit",
    },
    "qwen3.5": {
        "9b": "mlx-community/Qwen3.5-9B-4bit",
        "2b": "mlx-community/Qwen3.5-2B-4bit",
        "4b": "mlx-community/Qwen3.5-4B-4bit",
        "27b": "mlx-community/Qwen3.5-27B-4bit",
        "35b": "mlx-community/Qwen3.5-35B-A3B-4bit",
        "122b": "mlx-community/Qwen3.5-122B-A10B-4bit",
    },
    "qwen3.6": {
        "35b": "mlx-community/Qwen3.6-35B-A3B-4bit",
        "27b": "mlx-community/Qwen3.6-27B-4bit",
    },
    "llama3.2-vision": {"11b": "mlx-community/Llama-3.2-11B-Vision-Instruct-4bit"},
    "ministral-3": {
        "8b": "mlx-community/Ministral-3-8B-Instruct-2512-4bit",
        "3b": "mlx-community/Ministral-3-3B-Instruct-2512-4bit",
        "14b": "mlx-community/Ministral-3-14B-Instruct-2512-4bit",
    },
    "mistral-small3.1": {"24b": "mlx-community/Mistral-Small-3.1-24B-Instruct-2503-4bit"},
    "mistral-small3.2": {"24b": "mlx-community/Mistral-Small-3.2-24B-Instruct-2506-4bit"},
    "llava": {"7b": "mlx-community/llava-v1.6-mistral-7b-4bit"},
}

_EMBEDDING: dict[str, dict[str, str]] = {
    "all-minilm": {
        "22m": "sentence-transformers/all-MiniLM-L6-v2",
        "33m": "sentence-transformers/all-MiniLM-L12-v2",
    },
    "paraphrase-multilingual": {"278m": "sentence-transformers/paraphrase-multilingual-mpnet-base-v2"},
    "mxbai-embed-large": {"335m": "mixedbread-ai/mxbai-embed-large-v1"},
    "bge-large": {"335m": "BAAI/bge-large-en-v1.5"},
    "bge-base": {"109m": "BAAI/bge-base-en-v1.5"},
    "bge-small": {"33m": "BAAI/bge-small-en-v1.5"},
    # The original has its weights only as a pickle.
    "bge-m3": {"567m": "mlx-community/bge-m3-mlx-fp16"},
    "snowflake-arctic-embed": {
        "335m": "Snowflake/snowflake-arctic-embed-l",
        "22m": "Snowflake/snowflake-arctic-embed-xs",
        "33m": "Snowflake/snowflake-arctic-embed-s",
        "110m": "Snowflake/snowflake-arctic-embed-m",
    },
    "snowflake-arctic-embed2": {"568m": "Snowflake/snowflake-arctic-embed-l-v2.0"},
    "granite-embedding": {"278m": "ibm-granite/granite-embedding-278m-multilingual"},
    "multilingual-e5-small": {"118m": "intfloat/multilingual-e5-small"},
    "multilingual-e5-large": {"560m": "intfloat/multilingual-e5-large-instruct"},
    "embeddinggemma": {"300m": "mlx-community/embeddinggemma-300m-bf16"},
    "qwen3-embedding": {
        "0.6b": "Qwen/Qwen3-Embedding-0.6B",
        "4b": "mlx-community/Qwen3-Embedding-4B-4bit-DWQ",
        "8b": "mlx-community/Qwen3-Embedding-8B-4bit-DWQ",
    },
}

_RERANKER: dict[str, dict[str, str]] = {
    "qwen3-reranker": {
        "0.6b": "Qwen/Qwen3-Reranker-0.6B",
        "4b": "mlx-community/Qwen3-Reranker-4B-mxfp8",
        "8b": "mlx-community/Qwen3-Reranker-8B-mxfp8",
    },
    "bge-reranker-v2-m3": {"568m": "BAAI/bge-reranker-v2-m3"},
    "bge-reranker-base": {"278m": "BAAI/bge-reranker-base"},
    "bge-reranker-large": {"560m": "BAAI/bge-reranker-large"},
    "ms-marco-minilm": {"22m": "cross-encoder/ms-marco-MiniLM-L6-v2"},
}


def _rows() -> Iterator[tuple[str, str]]:
    for builtin in BUILTINS.values():
        yield builtin.name, str(builtin.full_name)
    for table in (_LANGUAGE, _VISION, _EMBEDDING, _RERANKER):
        for family, sizes in table.items():
            first = next(iter(sizes.values()))
            yield family, first
            yield f"{family}:{DEFAULT_TAG}", first
            yield from ((f"{family}:{size}", repository) for size, repository in sizes.items())


ALIASES: dict[str, str] = dict(_rows())
"""By lower-case name."""


class Aliases(Mapping[str, str]):
    """The built-in ones under the user's own, keyed by lower-case text. `replace` may be called while others read."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self.replace(own)

    def replace(self, own: Mapping[str, str]) -> None:
        """Other aliases of the user's from now on."""
        self._current = ALIASES | {alias.lower(): target for alias, target in own.items()}

    def __getitem__(self, alias: str) -> str:
        return self._current[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)
