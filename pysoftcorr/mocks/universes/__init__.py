"""Campaigns of universes: expectations of tables of halos over cosmologies and redshifts."""

from __future__ import annotations

from pysoftcorr.mocks.universes.design import universe_design
from pysoftcorr.mocks.universes.file import Universes

__all__ = ["Universes", "universe_design"]
