"""Tables of every format behind one interface: names, units, and columns read when asked for."""

from pysoftcorr.core.tables.opening import open_table, several
from pysoftcorr.core.tables.parts import join
from pysoftcorr.core.tables.source import TableSource, Unreadable
from pysoftcorr.core.tables.values import joined, masked, stored

__all__ = [
    "TableSource",
    "Unreadable",
    "join",
    "joined",
    "masked",
    "open_table",
    "several",
    "stored",
]
