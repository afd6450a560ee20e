"""HTTP/1.1 over Sanic, and what Sanic does not do as we need it. It knows no dialect."""
