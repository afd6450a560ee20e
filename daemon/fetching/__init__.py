"""Getting what the URLs in a client's request name, without letting the client reach what is not for it."""
