"""The report as one HTML file to read responses in."""
