"""mlx-serve: serve MLX models from your own machine over OpenAI's, Anthropic's and Ollama's HTTP."""

__version__ = "0.1.0"
