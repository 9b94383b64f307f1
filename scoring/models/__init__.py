"""Finding, loading and running language models."""
