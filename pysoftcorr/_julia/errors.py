"""Errors of the door to Julia."""

from __future__ import annotations

__all__ = ["INSTALL_COMMAND", "JuliaError", "JuliaUnavailable"]

INSTALL_COMMAND = "softcorr julia install"


class JuliaUnavailable(RuntimeError):
    """No usable Julia runtime was found; the message says how to get one.

    Parameters
    ----------
    reason : str
    fix : str
        What the user can do, in the imperative.

    Examples
    --------
    >>> from pysoftcorr import JuliaUnavailable
    >>> print(JuliaUnavailable("no Julia is installed"))
    no Julia is installed. To fix this, run softcorr julia install
    """

    def __init__(self, reason: str, fix: str = f"run {INSTALL_COMMAND}") -> None:
        super().__init__(reason.rstrip("."), fix)  # all that a copy in another process is made of
        self.reason = reason.rstrip(".")

    def __str__(self) -> str:
        """Reason and fix in one line."""
        return "{}. To fix this, {}".format(*self.args)


class JuliaError(RuntimeError):
    """A Julia function failed for a reason that is not a bad argument."""
