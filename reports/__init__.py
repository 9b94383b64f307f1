"""From a run directory to tables; nothing in here needs torch."""

from reports.tables.table20 import write_table20

__all__ = ["write_table20"]
