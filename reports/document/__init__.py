"""The report as a PDF, typeset by typst."""
