"""Recipes of the demo: small enough for two processor cores and a few minutes."""
