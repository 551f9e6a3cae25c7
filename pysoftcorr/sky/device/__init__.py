"""Sums over pairs and clustering on a GPU: torch, and Triton kernels in float64."""
