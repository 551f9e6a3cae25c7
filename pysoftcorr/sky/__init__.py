"""Catalogs on the sky, their correlation functions with both errors, and gradients of these."""
