"""The mini benchmark in RPGBench's schema, with recorded teacher outputs; see its README."""
