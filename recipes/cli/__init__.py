"""The command line `rpm-methods`."""

from recipes.cli.app import main

__all__ = ["main"]
