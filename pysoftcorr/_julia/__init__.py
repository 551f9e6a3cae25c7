"""The door to Julia: one function, `call`, in front of whichever host runs."""

from __future__ import annotations

from pysoftcorr._julia.errors import JuliaError, JuliaUnavailable
from pysoftcorr._julia.runtime import call, julia_module, status

__all__ = ["JuliaError", "JuliaUnavailable", "call", "julia_module", "status"]
