"""Data that the package carries: the mini benchmark and the published tables of the paper."""
