"""Where the Jacobian of a soft correlation function goes: memory, or a file written bin by bin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import check_output, whole_file
from pysoftcorr.core.memory import refuse_beyond_memory, size_text

__all__ = ["Output", "bins_at_once", "checked_output", "jacobian_bytes", "receiving"]

FloatArray = npt.NDArray[np.float64]
Output = str | PathLike[str] | FloatArray | None

#: Quantities of an object.
FIELDS = 5
#: Bytes of work for each object and bin that are taken at once, and how many there may be of them.
WORK, AT_ONCE = 200, 2**28


def bins_at_once(n: int, nbins: int) -> int:
    """Bins whose gradients by n objects are taken at once."""
    return int(np.clip(AT_ONCE // (WORK * max(n, 1)), 1, nbins))


def jacobian_bytes(n: int, nbins: int) -> int:
    """Bytes of a Jacobian."""
    return 8 * FIELDS * n * nbins


def checked_output(out: Output, n: int, nbins: int, overwrite: bool) -> Output:
    """`out`, which can take a Jacobian, before the work begins.

    Raises
    ------
    TypeError, ValueError
        An array of another kind or shape; a suffix other than .npy; more than memory holds.
    OSError
        A file that cannot be written.
    """
    shape = (nbins, FIELDS, n)
    work = WORK * n * bins_at_once(n, nbins)
    if out is None:
        try:
            refuse_beyond_memory("out = None", jacobian_bytes(n, nbins) + work)
        except ValueError as error:
            raise ValueError(
                f"jacobian: {error}; give out='jacobian.npy', a file that is written bin by bin, "
                f"{size_text(jacobian_bytes(n, nbins))}"
            ) from None
        return None
    if isinstance(out, np.ndarray):
        if out.dtype != np.float64 or not out.flags.writeable:
            state = "" if out.flags.writeable else "read-only "
            raise TypeError(
                f"jacobian: out = <{state}array of {out.dtype}>: must be a float64 array that can "
                "be written to"
            )
        if out.shape != shape:
            raise ValueError(
                f"jacobian: out = <array of shape {out.shape}>: must have shape {shape}, "
                "of bins, quantities and objects"
            )
        return out
    return check_output(out, suffixes=(".npy",), overwrite=overwrite)


@contextmanager
def receiving(
    out: Output, n: int, nbins: int, overwrite: bool
) -> Iterator[Callable[[int, FloatArray], None]]:
    """A function that takes the gradients (R, 5, N) of the bins from one on, in order.

    A file is written whole or not at all.
    """
    if isinstance(out, np.ndarray):
        array = out

        def keep(first: int, rows: FloatArray) -> None:
            array[first : first + len(rows)] = rows

        yield keep
        return
    assert out is not None
    with (
        whole_file(Path(out), overwrite=overwrite) as temporary,
        open(temporary, "wb") as stream,
    ):
        header = {"descr": "<f8", "fortran_order": False, "shape": (nbins, FIELDS, n)}
        np.lib.format.write_array_header_1_0(stream, header)

        def write(first: int, rows: FloatArray) -> None:
            stream.write(np.ascontiguousarray(rows, dtype="<f8").data)

        yield write
