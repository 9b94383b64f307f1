"""The paper's published tables as CSV; see its README."""
