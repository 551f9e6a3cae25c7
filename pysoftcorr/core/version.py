"""The version of the package; the Julia sources carry the same one."""

__version__ = "0.2.0"
