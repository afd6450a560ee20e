"""Whose certificates are trusted when the daemon opens a TLS connection."""

from __future__ import annotations

import contextlib
import os
import ssl


def trusted() -> ssl.SSLContext:
    """The system's certificates, or those that SSL_CERT_FILE or SSL_CERT_DIR names. Reads files: tens of
    milliseconds."""
    context = ssl.create_default_context()
    stated = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    if not stated and not context.get_ca_certs() and ssl.get_default_verify_paths().capath is None:
        # A Python that was not built for this system does not find its certificates; huggingface_hub usually brings
        # certifi.
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context
