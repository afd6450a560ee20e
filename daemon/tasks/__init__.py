"""Long work with followers: pulls and quantizations."""
