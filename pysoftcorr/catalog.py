"""Catalogues of objects on the sky, checked when they are made."""

from pysoftcorr._catalog import Catalog
from pysoftcorr._stars import StarCatalog

__all__ = ["Catalog", "StarCatalog"]
