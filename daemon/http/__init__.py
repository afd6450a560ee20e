"""HTTP/1.1 over Sanic, and all that Sanic needs put right. It knows no dialect."""
