"""Training of the co-evolving estimator (paper, section 3.3) and of the reasoning model built on its loop."""
