"""The command ``cluster``: soft clusters of a catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import output, reading
from pysoftcorr.cli.common import OVERWRITE, PLOT, SEED, THREADS, out
from pysoftcorr.cli.options import Argument, Command, Option, derive

if TYPE_CHECKING:
    from astropy.table import Table

    from pysoftcorr.sky.binning import Binning
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.clustering import Clustering

_SETTINGS = "pysoftcorr.sky.clustering:SoftClustering"
CLUSTERING = derive(
    _SETTINGS,
    skip=("n_clusters", "tol", "accelerate", "use_weights", "seed", "device"),
    max_iter={"least": 1},
)


def soft_clustering(settings: Mapping[str, Any]) -> Any:
    """The clustering that the settings ask for."""
    from pysoftcorr.sky.clustering import SoftClustering

    own = {option.name: settings[option.name] for option in CLUSTERING}
    return SoftClustering(
        n_clusters=settings["clusters"], seed=settings["seed"], device=settings["device"], **own
    )


def check_split(function: str, bins: Binning, split: float | None) -> None:
    """A split that is not possible, said before anything is read and clustered."""
    from pysoftcorr.core.options import positive
    from pysoftcorr.sky.two_scales import Split

    if split is not None:
        Split.of(function, bins, positive("split", split))


def figures(plots: Any, catalog: Catalog, fit: Clustering) -> output.Figures:
    """Centers, membership matrix and histograms."""
    return {
        "centers": lambda: plots.plot_centers(catalog, fit),
        "memberships": lambda: plots.plot_memberships(fit),
        "membership_histograms": lambda: plots.plot_membership_histograms(fit),
    }


@dataclass(frozen=True)
class Memberships:
    """A clustered catalog.

    Attributes
    ----------
    catalog : Catalog
    fit : Clustering
    objects : Table
        ra, dec (or x, y), w, ``label`` (greedy, from 0), ``max_membership``, ``entropy`` (nats),
        ``memberships`` (c,), or of the ``nearest`` clusters (k,), and, if any were drawn,
        ``sampled`` labels (n,).
    clusters : Table
        ra, dec (or x, y), ``members`` (greedy), and ``size``, the sum of memberships.
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
        import numpy as np

        return float(np.median(self.objects[column]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
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
        from pysoftcorr.core.files import HDF5, whole_file

        target = Path(path).expanduser()
        with whole_file(target, overwrite=overwrite) as temporary:
            form = _hdf5 if target.name.lower().endswith(HDF5) else _fits
            form(temporary, self.objects, self.clusters, self.made)
        return target


def cluster(
    catalog: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Soft clusters of a catalog: centers and memberships."""
    output.use_threads(settings["threads"])
    output.check_out(settings, suffixes=(".fits", ".fits.gz", ".h5", ".hdf5"))
    made = _clustered(catalog, settings)
    files = []
    if settings["out"] is not None:
        files.append(made.write(settings["out"], overwrite=settings["overwrite"]))
    files += output.draw(settings, lambda plots: figures(plots, made.catalog, made.fit))
    if not as_json:
        print(made.catalog.summary(), made.text(), sep="\n\n")
    output.wrote(files)
    return made.to_dict()


def _clustered(source: str | list[str], settings: Mapping[str, Any]) -> Memberships:
    """Read a catalog and cluster it."""
    import numpy as np
    from astropy.table import Table

    from pysoftcorr.core.options import count
    from pysoftcorr.core.version import __version__
    from pysoftcorr.sky.catalog import Catalog
    from pysoftcorr.sky.geometry import AXES
    from pysoftcorr.sky.nearest import NearestMemberships

    if settings["clusters"] < 1:
        raise ValueError("--clusters 0: at least one cluster is needed")
    number = count("assignments", settings["assignments"], least=0)
    soft = soft_clustering(settings)
    catalog, _ = reading.read(source, settings, Catalog)
    fit = soft.fit(catalog)
    labels = fit.assign("greedy")
    axes = AXES[catalog.geometry]
    objects = Table({**{a: getattr(catalog, a) for a in axes}, "w": catalog.w, "label": labels})
    objects["max_membership"] = fit.max_membership
    objects["entropy"] = fit.entropy
    if isinstance(fit.memberships, NearestMemberships):
        objects["nearest"] = fit.memberships.indices
        objects["memberships"] = fit.memberships.values
    else:
        objects["memberships"] = fit.memberships
    if number:
        count("assignments", number, each=24.0 * len(catalog))
        sampled = fit.assign("sampled", n=number, seed=settings["seed"])
        objects["sampled"] = np.ascontiguousarray(sampled.T)
    clusters = Table({a: getattr(fit, a) for a in axes})
    clusters["members"] = np.bincount(labels, minlength=fit.n_clusters)
    clusters["size"] = fit.sizes
    for table in (objects, clusters):
        for axis in axes:
            table[axis].unit = catalog.xy_unit or "deg"
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

    from pysoftcorr.core.streams import write_fits

    hdus = fits.HDUList([fits.PrimaryHDU()])
    for name, table in (("OBJECTS", objects), ("CLUSTERS", clusters)):
        hdu = fits.table_to_hdu(table)
        hdu.name = name
        hdus.append(hdu)
    hdus[0].header["MADE"] = json.dumps(made)
    write_fits(hdus, path)


def _hdf5(path: Path, objects: Table, clusters: Table, made: dict[str, Any]) -> None:
    import numpy as np

    from pysoftcorr.core.streams import hdf5_file

    with hdf5_file(path) as file:
        file.attrs["made"] = json.dumps(made)
        for name, table in (("objects", objects), ("clusters", clusters)):
            group = file.create_group(name)
            for column in table.colnames:
                item = group.create_dataset(column, data=np.asarray(table[column]))
                if table[column].unit is not None:
                    item.attrs["unit"] = str(table[column].unit)


COMMANDS = {
    "cluster": Command(
        cluster,
        (Argument("catalog", "Positions: files of one catalog.", many=True),),
        (
            Option("clusters", int, 100, "Number of soft clusters.", least=0),
            *CLUSTERING,
            *derive(_SETTINGS, only=("device",)),
            SEED,
            Option("assignments", int, 0, "Sampled cluster assignments to write too.", least=0),
            *reading.options(shears=False, patches=False),
            THREADS,
            out("Write the memberships: .fits or .h5."),
            OVERWRITE,
            *PLOT,
        ),
    ),
}
