"""The requests that are under way: what each of them is doing, and how an operator ends one."""
