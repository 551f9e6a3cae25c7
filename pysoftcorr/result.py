"""Results: correlation functions with their resamples, both errors, and how they were made."""

from pysoftcorr._correlation import Correlation
from pysoftcorr._correlation_set import CorrelationSet

__all__ = ["Correlation", "CorrelationSet"]
