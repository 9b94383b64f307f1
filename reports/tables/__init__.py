"""The tables of a report, each arranged from a run's files by a module of its own."""
