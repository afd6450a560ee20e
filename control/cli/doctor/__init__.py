"""What `mlx-serve doctor` looks at: one file a subject, each with its facts, how they are found, and what they mean."""
