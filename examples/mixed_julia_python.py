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

    # SoftCorr's functions take NumPy arrays, and lists for edges.
    g1, g2 = rng.normal(0, 0.2, (2, 500))
    xi = softcorr.xi_pm(position[0], position[1], g1, g2, [0, 20, 60])
    print("pairs:", list(xi.npairs))

    # A derivative straight through Julia code that is written here, round SoftCorr's: of the sum of
    # squares of xi as the field is stretched.
    slope = jl.seval("""
        function (softcorr, ra, dec, g1, g2)
            bins = softcorr.SoftBins([0.0, 20.0, 60.0], 0.3)
            estimator = softcorr.SoftEstimator(bins; approach = :naive)
            loss(s) = sum(abs2, softcorr.soft_xi(estimator, s .* ra, s .* dec, g1, g2))
            h = 1e-6
            return softcorr.derivative(loss, 1.0), (loss(1 + h) - loss(1 - h)) / 2h
        end
    """)
    exact, finite = slope(softcorr, position[0], position[1], g1, g2)
    print(f"d sum(xi^2) as the field is stretched: {exact:.6e}, by differences {finite:.6e}")
    assert abs(exact - finite) < 1e-5 * abs(finite)
    return 0


if __name__ == "__main__":
    sys.exit(main())
