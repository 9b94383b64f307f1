"""Recipes, their plan, its execution, and the command line."""
