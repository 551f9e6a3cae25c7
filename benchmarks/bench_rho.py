"""The whole rho job with both errors: in a running session, and from a cold start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np
from timing import heading, in_turn, once

from pysoftcorr import StarCatalog, rho_statistics


def stars(n: int = 610) -> StarCatalog:
    """Stars, as many as in the COSMOS-Web catalog of the paper, in a field of its size."""
    rng = np.random.default_rng(1)
    e = rng.normal(0, 0.03, (4, n))
    return StarCatalog(
        ra=rng.uniform(149.8, 150.5, n), dec=rng.uniform(1.9, 2.6, n), sigma=np.full(n, 0.9),
        sigma_model=np.full(n, 0.88), g1=e[0], g2=e[1], g1_model=e[2], g2_model=e[3],
    )  # fmt: skip


def main() -> None:
    """100 clusters, 100 sampled assignments and 100 bootstraps of 610 stars."""
    heading("rho1 to rho5 of 610 stars, 100 clusters, 100 + 100 resamples")
    catalog = stars()

    def clustered() -> None:
        rho_statistics(
            catalog,
            "linear:0:45:8",
            clusters=100,
            assignments=100,
            resampling="bootstrap:100",
            seed=1,
        )

    def naive() -> None:
        rho_statistics(catalog, "linear:0:45:8", resampling="bootstrap:100", seed=1)

    first = once(clustered)
    done = in_turn(5, clustered=clustered, naive=naive)
    print(f"  first call, with the start of Julia: {first:.2f} s")
    print(f"  then: {done['clustered'].median:.3f} s; naive: {done['naive'].median:.3f} s")
    demo = files("pysoftcorr") / "data" / "demo_stars.fits"
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("softcorr")), "rho", str(demo),
            "--out", f"{folder}/rho.h5",
        ]  # fmt: skip

        def cold() -> None:
            Path(folder, "rho.h5").unlink(missing_ok=True)
            subprocess.run(command, check=True, capture_output=True)

        seconds = in_turn(3, cold=cold)["cold"].median
        print(f"  softcorr rho, from the shell to the result: {seconds:.2f} s")


if __name__ == "__main__":
    main()
