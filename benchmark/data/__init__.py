"""Bundled data: the mini benchmark."""
