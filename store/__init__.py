"""Models on disk by digest; knows no MLX and no HTTP server."""
