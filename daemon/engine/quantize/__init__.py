"""The job that writes a quantized copy of a model."""
