"""How fast a model is through the public HTTP, as its clients see it. Standard library only."""
