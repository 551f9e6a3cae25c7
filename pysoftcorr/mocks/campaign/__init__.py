"""Correlations over the training design: plan, workers, journal and file."""
