"""What the endpoints answer, as types: for the OpenAPI document, and for the tests that hold answers against it."""
