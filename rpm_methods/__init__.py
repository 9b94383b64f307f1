"""Training methods for role-playing models behind one interface; see `rpm_methods.method`."""
