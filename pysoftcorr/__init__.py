"""Correlation functions that know how sure they are."""

from pysoftcorr._version import __version__

__all__ = ["__version__"]
