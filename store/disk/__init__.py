"""Content on disk by digest: blobs, manifests, refs, and what keeps them whole."""
