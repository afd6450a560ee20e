"""Values of arguments in notations that are not JSON: what a tool's schema says of them, as rules of a grammar."""
