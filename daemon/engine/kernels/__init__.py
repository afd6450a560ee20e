"""What MLX fuses on a Linux CPU, compiled by the machine's C++ compiler while nobody waits for it."""
