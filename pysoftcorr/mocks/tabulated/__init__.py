"""Tabulated means: xi, omega and eta of a halo catalog in expectation, at any parameters."""
