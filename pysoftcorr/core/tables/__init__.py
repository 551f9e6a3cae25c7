"""Tables of every format behind one interface: names, units, and columns read when asked for."""

from pysoftcorr.core.tables.opening import open_table
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import joined, masked, stored

__all__ = ["TableSource", "Unreadable", "joined", "masked", "open_table", "stored"]
