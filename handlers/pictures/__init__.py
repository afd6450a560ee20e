"""The pictures in a client's request, in every dialect: read, decoded from base64, fetched, and handed on as files."""
