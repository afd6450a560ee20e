"""The daemon: one asyncio process that never imports mlx."""
