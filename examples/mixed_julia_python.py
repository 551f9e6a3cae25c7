"""A script in both languages at once: Julia functions over NumPy arrays, through juliacall.

Needs a Julia that juliacall has found or installed:

    softcorr julia install --method juliacall
    python examples/mixed_julia_python.py

juliacall comes first: Julia then belongs to this thread, where a script may print from Julia and
hand Python functions to it. The module that ``pysoftcorr.julia_module()`` returns is the one behind
the package itself, so a script can call what has no Python name, define Julia functions on the
spot, and hand arrays over without copying them.
"""

from __future__ import annotations

import sys

try:
    from juliacall import Main as jl
except Exception:  # no Julia, and no network to get one from: julia_module() says what to do
    jl = None

import numpy as np

import pysoftcorr


def main() -> int:
    """Run the example; 2 where Julia does not run through juliacall."""
    try:
        softcorr = pysoftcorr.julia_module()
    except pysoftcorr.JuliaUnavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    jl.println("Julia ", jl.VERSION, " and SoftCorr ", softcorr.SOURCE_VERSION)
    jl.flush(jl.stdout)

    # A NumPy array is seen by Julia as it lies in memory, and written in place.
    ra = np.radians([10.0, 10.5, 11.0])
    dec = np.radians([-5.0, -4.5, -4.0])
    xyz = np.zeros((3, 3))
    fill = jl.seval("""
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
    total = jl.seval("""
        function (softcorr, x)
            sums = zeros(16)
            softcorr.chunked(length(x), 16) do chunk, range
                sums[chunk] = sum(abs2, view(x, range))
            end
            sum(sums)
        end
    """)
    print("sum of squares:", total(softcorr, xyz.ravel()), "=", float(np.sum(xyz**2)))

    # Julia calls a Python function, which calls pysoftcorr, which calls Julia.
    rng = np.random.default_rng(1)
    position = rng.uniform(10, 11, (2, 500))

    def xi_plus(shear: float) -> float:
        g1, g2 = np.full(500, float(shear)), np.zeros(500)
        catalog = pysoftcorr.Catalog(ra=position[0], dec=position[1], g1=g1, g2=g2)
        return float(pysoftcorr.xi_pm(catalog, "linear:0:60:1").xip.value[0].real)

    curve = jl.seval("f -> [f(s) for s in (0.1, 0.2, 0.3)]")
    print("xi+ of a constant shear:", np.round([float(x) for x in curve(xi_plus)], 4))

    # A derivative straight through Julia code.
    if str(jl.seval('string(Base.find_package("ForwardDiff") !== nothing)')) == "true":
        jl.seval("using ForwardDiff")
        slope = jl.seval("x -> ForwardDiff.derivative(t -> sin(t)^2, x)")
        print("d sin^2 at 1:", slope(1.0), "=", np.sin(2.0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
