"""A script in both languages at once: Julia functions over NumPy arrays, through juliacall.

Needs the juliacall host, that is a Julia that juliacall has found or installed:

    softcorr julia install
    PYSOFTCORR_JULIA_HOST=juliacall python examples/mixed_julia_python.py

The module that ``pysoftcorr.julia_module()`` returns is the one behind the package itself, so a
script can call what has no Python name, define Julia functions on the spot, and hand arrays over
without copying them.
"""

from __future__ import annotations

import sys

import numpy as np

from pysoftcorr import JuliaUnavailable, julia_module


def main() -> int:
    """Run the example; 2 where Julia does not run through juliacall."""
    try:
        softcorr = julia_module()
    except JuliaUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from juliacall import Main  # after julia_module(): Julia then has a thread of its own

    print("Julia", Main.VERSION, "and SoftCorr", softcorr.SOURCE_VERSION)

    # A NumPy array is seen by Julia as it lies in memory, and written in place.
    ra = np.radians([10.0, 10.5, 11.0])
    dec = np.radians([-5.0, -4.5, -4.0])
    xyz = np.zeros((3, 3))
    fill = Main.seval("""
        function (xyz, ra, dec)
            for i in eachindex(ra)
                xyz[i, 1] = cos(dec[i]) * cos(ra[i])
                xyz[i, 2] = cos(dec[i]) * sin(ra[i])
                xyz[i, 3] = sin(dec[i])
            end
        end
    """)
    fill(xyz, ra, dec)
    print("unit vectors written by Julia, norms:", np.linalg.norm(xyz, axis=1))

    # SoftCorr's own loop: split into fixed chunks, so any number of threads gives the same bits.
    total = Main.seval("""
        function (softcorr, x)
            sums = zeros(16)
            softcorr.chunked(length(x), 16) do chunk, range
                sums[chunk] = sum(abs2, view(x, range))
            end
            sum(sums)
        end
    """)
    print("sum of squares:", total(softcorr, xyz.ravel()), "=", float(np.sum(xyz**2)))

    # A derivative straight through Julia code.
    if str(Main.seval('string(Base.find_package("ForwardDiff") !== nothing)')) == "true":
        slope = Main.seval("using ForwardDiff; x -> ForwardDiff.derivative(t -> sin(t)^2, x)")
        print("d sin^2 at 1:", slope(1.0), "=", np.sin(2.0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
