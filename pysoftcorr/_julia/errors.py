"""What the door to Julia raises."""

from __future__ import annotations

__all__ = ["INSTALL_COMMAND", "JuliaError", "JuliaUnavailable"]

INSTALL_COMMAND = "softcorr julia install"


class JuliaUnavailable(RuntimeError):
    """No usable Julia runtime was found; the message says how to get one.

    Examples
    --------
    >>> import pysoftcorr._julia as door
    >>> issubclass(door.JuliaUnavailable, RuntimeError)
    True
    """

    def __init__(self, reason: str, *, command: str = INSTALL_COMMAND) -> None:
        super().__init__(f"{reason.rstrip('.')}. Mend it with: {command}")


class JuliaError(RuntimeError):
    """A Julia function failed for a reason that is not a bad argument."""
