"""Twins, small catalogs and stand-ins shared by the tests."""
