"""The figures of a report, each drawn from a run's files by a module of its own."""
