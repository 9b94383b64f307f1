"""Prompt templates as YAML files; a user's own folder may replace any of them (see `benchmark.prompts`)."""
