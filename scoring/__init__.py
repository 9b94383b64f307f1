"""Likelihoods, mutual information and R-EMI; modules without a model in them import without torch."""
