"""The OpenAPI document of the public endpoints, made from the types that requests are decoded with, and its page."""
