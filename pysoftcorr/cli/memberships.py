"""The work of ``cluster``: soft clusters, told in words and JSON, and written to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from astropy.table import Table

from pysoftcorr.cli.estimate import clustering, read
from pysoftcorr.core.files import whole_file
from pysoftcorr.core.version import __version__
from pysoftcorr.sky.catalog import Catalog
from pysoftcorr.sky.clustering import Clustering

SUFFIXES = (".fits", ".fits.gz", ".h5", ".hdf5")


@dataclass(frozen=True)
class Memberships:
    """A clustered catalog.

    Attributes
    ----------
    catalog : Catalog
    fit : Clustering
    objects : Table
        ra, dec, w, ``label`` (greedy, from 0), ``max_membership``, ``entropy`` (nats),
        ``memberships`` (c,) and, if any were drawn, ``sampled`` labels (n,).
    clusters : Table
        ra, dec, ``members`` (greedy), and ``size``, the sum of memberships.
    made : dict
        How: settings, sweeps, convergence, objective, seed, version.
    """

    catalog: Catalog
    fit: Clustering
    objects: Table
    clusters: Table
    made: dict[str, Any]

    def text(self) -> str:
        """A few lines for a terminal."""
        made, members = self.made, self.clusters["members"]
        state = "converged in" if made["converged"] else "did not converge in"
        return "\n".join(
            [
                f"{len(self.clusters)} clusters; {state} {made['n_iter']} sweeps, "
                f"J = {made['objective']:.6g}",
                f"largest membership  median {self.median('max_membership'):.3f}",
                f"entropy             median {self.median('entropy'):.3f} nats",
                f"members (greedy)    {members.min()} to {members.max()}",
            ]
        )

    def median(self, column: str) -> float:
        """Median over the objects."""
        return float(np.median(self.objects[column]))

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        clusters = {name: self.clusters[name].tolist() for name in self.clusters.colnames}
        return {
            "n_objects": len(self.objects),
            "clusters": clusters,
            "label": self.objects["label"].tolist(),
            "max_membership": self.objects["max_membership"].tolist(),
            "entropy": self.objects["entropy"].tolist(),
            **self.made,
        }

    def write(self, path: str | Path, *, overwrite: bool) -> Path:
        """Write both tables, as HDUs or groups ``objects`` and ``clusters``."""
        target = Path(path).expanduser()
        with whole_file(target, overwrite=overwrite) as temporary:
            fits = target.name.lower().endswith((".fits", ".fits.gz"))
            (_fits if fits else _hdf5)(temporary, self.objects, self.clusters, self.made)
        return target


def make(path: str, settings: Mapping[str, Any]) -> Memberships:
    """Read a catalog and cluster it."""
    if settings["clusters"] < 1:
        raise ValueError("--clusters 0: at least one cluster is needed")
    soft = clustering(settings)
    catalog = read(path, settings, Catalog, flips=False)
    fit = soft.fit(catalog)
    labels = fit.assign("greedy")
    objects = Table({"ra": catalog.ra, "dec": catalog.dec, "w": catalog.w, "label": labels})
    objects["max_membership"] = fit.max_membership
    objects["entropy"] = fit.entropy
    objects["memberships"] = fit.memberships
    if settings["samples"]:
        sampled = fit.assign("sampled", n=settings["samples"], seed=settings["seed"])
        objects["sampled"] = np.ascontiguousarray(sampled.T)
    clusters = Table({"ra": fit.ra, "dec": fit.dec})
    clusters["members"] = np.bincount(labels, minlength=len(fit.ra))
    clusters["size"] = fit.memberships.sum(axis=0)
    for table in (objects, clusters):
        table["ra"].unit = table["dec"].unit = "deg"
    made = {
        "settings": {"command": dict(settings), **fit.settings},
        "n_iter": fit.n_iter,
        "converged": bool(fit.converged),
        "objective": float(fit.objective[-1]),
        "seed": settings["seed"],
        "version": __version__,
    }
    return Memberships(catalog, fit, objects, clusters, made)


def _fits(path: Path, objects: Table, clusters: Table, made: dict[str, Any]) -> None:
    from astropy.io import fits

    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, table in (("OBJECTS", objects), ("CLUSTERS", clusters)):
        hdu = fits.table_to_hdu(table)
        hdu.name = name
        hdus.append(hdu)
    hdus[0].header["MADE"] = json.dumps(made)
    hdus.writeto(path)


def _hdf5(path: Path, objects: Table, clusters: Table, made: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["made"] = json.dumps(made)
        for name, table in (("objects", objects), ("clusters", clusters)):
            group = file.create_group(name)
            for column in table.colnames:
                item = group.create_dataset(column, data=np.asarray(table[column]))
                if table[column].unit is not None:
                    item.attrs["unit"] = str(table[column].unit)
