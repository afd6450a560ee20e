"""How calls are written, whatever the family: JSON, named JSON, elements with parameters, Python's calls."""
