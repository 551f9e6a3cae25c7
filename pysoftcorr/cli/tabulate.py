"""The command ``tabulate``: tables of halos, from which predictions and posteriors follow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pysoftcorr.cli import mocks, output
from pysoftcorr.cli.common import OVERWRITE, SEED, THREADS, WORKERS, out
from pysoftcorr.cli.options import Command, Option, derive, needed

if TYPE_CHECKING:
    from pysoftcorr.mocks import HaloTables

_TABLES = derive(
    "pysoftcorr.mocks.tabulated.tables:HaloTables.tabulate",
    only=("bins", "rp_bins", "pi_max", "line_of_sight", "satellites", "nodes",
          "concentration_groups", "assembly_split", "places", "sites",
          "subvolumes", "scheduler", "workers"),
    bins=mocks.BINS_MPC,
    rp_bins={"kind": str, "metavar": "BINS", "help": "Bins of rp in Mpc/h, for wp, w_g+ and w_++ "
             "too; by default none."},
    pi_max={"kind": float, "help": "Largest |pi| in Mpc/h; 40 by default."},
    line_of_sight={"choices": ("z", "x", "y"), "help": "Side of the box that is the line of "
                   "sight."},
    satellites={"choices": mocks.PLACES, "help": "Where satellites live: in a sphere, in the "
                "halo's ellipsoid, or on its subhalos."},
    nodes={"kind": int, "default": 40, "least": 2, "help": "Nodes, even in log mass, besides the "
           "heaviest halos."},
    concentration_groups={"least": 1, "help": "Groups of concentration at each mass, where "
                          "clustering depends on it."},
    places={"least": 2, "help": "Places of satellites in a halo, on average, that triaxial halos "
            "are summed over."},
    assembly_split={"kind": float, "help": "Keep halos apart that are more and less concentrated "
                    "than this part of those of their mass, 0.5 as a rule, for predict "
                    "--assembly-cen and --assembly-sat."},
    sites={"least": 0, "help": "Halos that stand for the others in the covariance of galaxies; 0: "
           "no covariance."},
    subvolumes={"least": 0, "help": "Parts along a side of each box that are left out in turn, for "
                "the cosmic covariance of one box; 3 will do, 0: none."},
    **WORKERS,
)  # fmt: skip


def tabulate(
    halos: str | list[str], *, settings: Mapping[str, Any], explicit: set[str], as_json: bool
) -> dict[str, Any]:
    """Tables of halos, from which predict and posterior have xi, omega and eta of any HOD."""
    needed(settings, "out")
    from pysoftcorr.core.files import HDF5

    output.use_threads(settings["threads"])
    no_figures = {"plot": None, "plot_format": None}
    output.check_out({**settings, **no_figures}, suffixes=HDF5)
    from pysoftcorr.mocks import HaloTables

    options = {o.name: settings[o.name] for o in _TABLES}
    first = None
    if settings["merge"] is not None:
        for name in (
            "bins",
            "rp_bins",
            "pi_max",
            "line_of_sight",
            "satellites",
            "nodes",
            "assembly_split",
        ):
            if name in explicit:
                spelled = name.replace("_", "-")
                raise ValueError(f"--{spelled}: with --merge it is that of {settings['merge']}")
        first = HaloTables.read(settings["merge"])
        options |= {"bins": first.edges, "satellites": first.satellites, "nodes": first.nodes}
        options["assembly_split"] = first.assembly_split
        if first.projection is not None:
            options |= {"rp_bins": first.projection.edges, "pi_max": first.projection.pi_max,
                        "line_of_sight": first.projection.line_of_sight}  # fmt: skip
    made = HaloTables.tabulate(mocks.read_halos(halos, settings, explicit), **options)
    if first is not None:
        made = HaloTables.merge([first, made])
    made.write(settings["out"], overwrite=settings["overwrite"])
    document = _record(made, settings["out"])
    if not as_json:
        print(_text(document))
    output.wrote([settings["out"]])
    return document


def _record(tables: HaloTables, path: str) -> dict[str, Any]:
    from pysoftcorr.mocks import checks

    return {
        "halos": sum(box.halos for box in tables.boxes),
        "boxes": [checks.box_record(box.boxsize) for box in tables.boxes],
        "nodes": len(tables.nodes),
        "edges": tables.edges.tolist(),
        **_projected(tables),
        **({} if tables.assembly_split is None else {"assembly_split": tables.assembly_split}),
        "satellites": tables.satellites,
        "covariance": " and ".join(kind for kind in ("hod", "cosmic") if tables.knows(kind)),
        "bounds": {name: list(ends) for name, ends in tables.bounds.items()},
        "megabytes": Path(path).expanduser().stat().st_size / 1e6,
    }


def _assembly(document: Mapping[str, Any]) -> str:
    split = document.get("assembly_split")
    return "" if split is None else f"  assembly    split at {split:g} in concentration\n"


def _projected(tables: HaloTables) -> dict[str, Any]:
    if tables.projection is None:
        return {}
    return {
        "rp_edges": tables.projection.edges.tolist(),
        "pi_max": tables.projection.pi_max,
        "line_of_sight": tables.projection.line_of_sight,
    }


def _text(document: Mapping[str, Any]) -> str:
    from pysoftcorr.mocks import checks

    low, high = document["bounds"]["logMmin"]
    edges = document["edges"]
    rp, of_rp = document.get("rp_edges"), ""
    if rp is not None:
        of_rp = (
            f"  bins of rp  {len(rp) - 1}, {rp[0]:g} to {rp[-1]:g} Mpc/h within |pi| of "
            f"{document['pi_max']:g} along {document['line_of_sight']}\n"
        )
    sizes = ", ".join(checks.box_text(size) for size in document["boxes"])
    return (
        f"{document['halos']} halos in {len(document['boxes'])} box"
        f"{'es' if len(document['boxes']) > 1 else ''} of {sizes} Mpc/h\n"
        f"  satellites  {document['satellites']}\n"
        f"  bins        {len(edges) - 1}, {edges[0]:g} to {edges[-1]:g} Mpc/h\n"
        f"{of_rp}"
        f"  nodes       {document['nodes']}\n"
        f"  logMmin     {low:.4g} to {high:.4g}\n"
        f"{_assembly(document)}"
        f"  covariance  {document['covariance'] or 'none'}\n"
        f"  size        {document['megabytes']:.1f} MB"
    )


COMMANDS = {
    "tabulate": Command(
        tabulate,
        (mocks.HALOS,),
        (
            *_TABLES,
            Option("merge", str, None, "Add the halos, another box of the same universe, to these "
                   "tables.", metavar="TABLES"),
            *mocks.READING,
            SEED,
            THREADS,
            out("Write the tables: .h5; needed."),
            OVERWRITE,
        ),
    ),
}  # fmt: skip
