"""The paper's published numbers beside a run's, and its findings tested on a run."""
