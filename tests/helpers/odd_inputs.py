"""Odd values for every argument of every public function, and what came of each.

As a program it goes through all of them: ``python -m tests.helpers.odd_inputs [NAME ...]``.
"""

from __future__ import annotations

import collections
import contextlib
import inspect
import signal
import sys
import tempfile
import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pysoftcorr.core.extras import MissingExtra

#: Seconds of the processor for one call; nearly all of them take milliseconds.
LIMIT = 20
MPC = {"boxsize": 50.0}


class TooLong(KeyboardInterrupt):
    """A call that did not end in time."""


class Opaque:
    """An object that no function knows."""


#: Values for arguments of any kind.
SCALARS = {
    "None": None,
    "empty text": "",
    "text of a number": "3",
    "text": "no such thing",
    "fraction": 3.7,
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "-1": -1,
    "0": 0,
    "10^30": 10**30,
    "10^400": 10**400,
    "-10^30": -(10**30),
    "1e308": 1e308,
    "-1e308": -1e308,
    "1e-320": 1e-320,
    "True": True,
    "list": [],
    "mapping": {},
    "object": Opaque(),
    "complex": 1j,
    "bytes": b"3",
    "long integer": 2**63,
    "float16 inf": np.float16(np.inf),
    "longdouble": np.longdouble("1e4000"),
    "array of size 0": np.empty(0),
    "array": np.ones((2, 3, 4)),
    "NaNs": np.full(3, np.nan),
    "texts": ["a", "b"],
}


def _quantity(x):
    import astropy.units as u

    return np.asarray(x) * u.kg


#: The good array in another form of memory or type, which must give the same or be refused.
SAME = {
    "other byte order": lambda x: x.astype(x.dtype.newbyteorder()),
    "negative strides": lambda x: x[::-1].copy()[::-1],
    "Fortran order": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read-only": lambda x: np.lib.stride_tricks.as_strided(x, writeable=False),
    "a list": lambda x: x.tolist(),
    "longdouble": lambda x: x.astype(np.longdouble) if x.dtype.kind == "f" else x,
    "objects": lambda x: x.astype(object),
    "a mask of nothing": lambda x: np.ma.MaskedArray(x, mask=False),
}

#: The good array spoilt.
SPOILT = {
    "complex": lambda x: x.astype(complex) + 1j,
    "text": lambda x: x.astype("U"),
    "one NaN": lambda x: _put(x, np.nan),
    "one inf": lambda x: _put(x, np.inf),
    "one 1e300": lambda x: _put(x, 1e300),
    "all NaN": lambda x: np.full(x.shape, np.nan),
    "all 0": lambda x: np.zeros(x.shape),
    "all 1e300": lambda x: np.full(x.shape, 1e300),
    "all -1": lambda x: -np.ones(x.shape),
    "all masked": lambda x: np.ma.MaskedArray(x, mask=True),
    "empty": lambda x: x[:0],
    "one row": lambda x: x[:1],
    "one row less": lambda x: x[:-1],
    "another dimension": lambda x: x[None],
    "flat": np.ravel,
    "float16": lambda x: x.astype(np.float16),
    "Quantity in kg": _quantity,
}


def _put(x, value):
    made = x.astype(float)
    made.flat[0] = value
    return made


@dataclass(frozen=True)
class Case:
    """One call: the target, the argument that is odd, what is odd about it."""

    target: str
    argument: str
    odd: str
    value: object
    same: bool = False

    def __str__(self):
        return f"{self.target}({self.argument}: {self.odd})"


@dataclass
class Outcome:
    """What came of a call: a word, the message, and the result."""

    word: str
    text: str = ""
    result: object = None


def _universes(
    universes, *, seed, points, chance_points, boxsize, mesh, mmin, thinned, logMmin, satellites,
    places, sites, bins, out=None, scheduler=None, workers=None, overwrite=False,
):  # fmt: skip
    """`run_universes` in this process, into a new folder unless `out` is given."""
    from pysoftcorr.mocks import run_universes
    from tests.helpers.at_home import at_home

    with at_home(), tempfile.TemporaryDirectory() as folder:
        return run_universes(
            universes, out=Path(folder) / "u.h5" if out is None else out, seed=seed, points=points,
            chance_points=chance_points, boxsize=boxsize, mesh=mesh, mmin=mmin, thinned=thinned,
            logMmin=logMmin, satellites=satellites, places=places, sites=sites, bins=bins,
            scheduler=scheduler, workers=workers, overwrite=overwrite,
        )  # fmt: skip


# ---------------------------------------------------------------------- targets
class Targets:
    """Callables by name, each with good arguments; made once, of a few objects."""

    def __init__(self):
        import pysoftcorr as p
        from pysoftcorr import mocks

        rng = np.random.default_rng(5)
        n = 60
        ra, dec = 10 + rng.random(n), rng.random(n)
        g1, g2 = 0.1 * rng.standard_normal((2, n))
        self.sky = {"ra": ra, "dec": dec, "g1": g1, "g2": g2, "w": rng.uniform(0.5, 1, n)}
        cat = p.Catalog(**self.sky)
        self.star = {
            **{k: self.sky[k] for k in ("ra", "dec", "g1", "g2", "w")},
            "g1_model": 0.9 * g1, "g2_model": 0.9 * g2, "T": rng.uniform(0.2, 0.3, n),
            "T_model": rng.uniform(0.2, 0.3, n),
        }  # fmt: skip
        stars = p.StarCatalog(**self.star)
        soft = p.SoftClustering(n_clusters=5, seed=1)
        fit = soft.fit(cat)
        sim = p.GravitySimulation(12, seed=1)
        bins = "linear:0:60:4"
        pairs = {"bins": bins, "seed": 1, "clusters": None, "assignments": 0, "resampling": None}
        self.table = {
            "Binning.linear": (p.Binning.linear, {"lo": 0.0, "hi": 4.0, "n": 3}),
            "Binning.log": (p.Binning.log, {"lo": 1.0, "hi": 4.0, "n": 3}),
            "Binning.explicit": (p.Binning.explicit, {"edges": np.array([0.0, 1.0, 3.0])}),
            "Binning.of": (p.Binning.of, {"bins": np.array([0.0, 1.0, 3.0])}),
            "Bootstrap": (p.Bootstrap, {"n": 5}),
            "Jackknife": (p.Jackknife, {"n": 5}),
            "LeaveOut": (p.LeaveOut, {"fraction": 0.2, "n": 5}),
            "Bootstrap.resample": (
                lambda seed=1, n=4: p.Bootstrap(n).resample(cat, seed=seed), {"seed": 1, "n": 4}),
            "Catalog": (p.Catalog, self.sky),
            "Catalog.flat": (p.Catalog, {"x": ra, "y": dec, "g1": g1, "g2": g2}),
            "StarCatalog": (p.StarCatalog, self.star),
            "SoftClustering": (p.SoftClustering, {"n_clusters": 5}),
            "SoftClustering.fit": (
                soft.fit, {"catalog": cat, "centers": np.stack([ra[:5], dec[:5]], axis=1)}),
            "Clustering.assign": (
                lambda kind="sampled", n=3, seed=1: fit.assign(kind, n=n, seed=seed),
                {"kind": "sampled", "n": 3, "seed": 1}),
            "Clustering.gumbel": (
                lambda temperature=0.1: fit.assign("gumbel", temperature=temperature, seed=1),
                {"temperature": 0.1}),
            "xi_pm": (p.xi_pm, {"catalog": cat, **pairs, "catalog2": cat}),
            "gamma_t": (p.gamma_t, {"lenses": cat, "sources": cat, **pairs}),
            "landy_szalay": (p.landy_szalay, {"data": cat, "randoms": cat, **pairs}),
            "rho_statistics": (p.rho_statistics, {"stars": stars, **pairs}),
            "tau_statistics": (p.tau_statistics, {"galaxies": cat, "stars": stars, **pairs}),
            "SoftCorrelation": (p.SoftCorrelation, {"bins": bins}),
            "SoftCorrelation.clustered": (
                p.SoftCorrelation, {"bins": bins, "clusters": 5, "fuzziness": 2.0}),
            "SoftCorrelation.value": (
                p.SoftCorrelation(bins, clusters=5).value, {"catalog": cat}),
            "SoftCorrelation.vjp": (
                p.SoftCorrelation(bins, clusters=5).vjp,
                {"catalog": cat, "cotangent": np.ones(4)}),
            "SoftCorrelation.bin_weights": (
                p.SoftCorrelation(bins).bin_weights, {"theta": np.array([1.0, 20.0])}),
            "GravitySimulation": (p.GravitySimulation, {"n": 12}),
            "GravitySimulation.given": (
                p.GravitySimulation,
                {"positions": np.array(sim.positions), "velocities": np.array(sim.velocities)}),
            "GravitySimulation.run": (sim.run, {"G": 1.0}),
        }  # fmt: skip
        m = 40
        self.halos = {
            "position": rng.uniform(0, 50, (m, 3)),
            "mass": 10 ** rng.uniform(12.5, 13.5, m),
            "radius": np.empty(m),
            "concentration": rng.uniform(4, 9, m),
            "axis": rng.standard_normal((m, 3)),
            "boxsize": 50.0,
        }
        self.halos["radius"][:] = np.cbrt(
            3 * self.halos["mass"] / (4 * np.pi * 200 * 0.3 * 2.775e11)
        )
        halos = mocks.HaloCatalog(**self.halos)
        hod = {"logMmin": 12.5, "sigma_logM": 0.3, "logM0": 12.5, "logM1": 13.0, "alpha": 1.0}
        model = mocks.HODModel(**hod, mu_cen=0.5, mu_sat=0.3)
        galaxies = model.populate(halos, seed=1)
        box = {"bins": "log:1:20:4"}
        points = {"position": np.array(galaxies.position), "axis": np.array(galaxies.axis)}
        self.table |= {
            "HaloCatalog": (mocks.HaloCatalog, self.halos),
            "HaloCatalog.simulate": (
                mocks.HaloCatalog.simulate,
                {"boxsize": 50.0, "mesh": 32, "seed": 1, "mmin": 1e12}),
            "GalaxyCatalog": (mocks.GalaxyCatalog, {**points, "boxsize": 50.0}),
            "HODModel": (mocks.HODModel, hod),
            "HODModel.populate": (model.populate, {"halos": halos, "seed": 1}),
            "HODModel.mean_ncen": (model.mean_ncen, {"mass": self.halos["mass"]}),
            "GalaxyCatalog.realign": (
                galaxies.realign, {"mu_cen": 0.5, "mu_sat": 0.2, "gamma": -0.5, "seed": 1}),
            "box_correlations": (
                mocks.box_correlations,
                {"galaxies": points["position"], "axis": points["axis"], "boxsize": 50.0,
                 "weights": np.ones(len(galaxies)), **box}),
            "box_correlations.second": (
                mocks.box_correlations,
                {"galaxies": points["position"], "axis": points["axis"], "boxsize": 50.0, **box,
                 "second": points["position"], "second_axis": points["axis"]}),
            "expected_correlations": (
                mocks.expected_correlations,
                {"galaxies": galaxies, "mu_cen": 0.5, "mu_sat": 0.2, "gamma": 0.1, **box}),
            "alignment_sums": (
                mocks.alignment_sums,
                {"galaxies": galaxies, **box, "weights": np.ones(len(galaxies))}),
            "training_design": (mocks.training_design, {"points": 8, "seed": 1}),
        }  # fmt: skip
        self.hod, self.halo_catalog, self.galaxies = model, halos, galaxies
        self._of_boxes(points)
        self.table["run_universes"] = (
            _universes,
            {"universes": 1, "seed": 1, "points": 2, "chance_points": 1, "boxsize": 50.0,
             "mesh": 32, "mmin": 1e12, "thinned": (5e12, 0.5), "logMmin": (12.2, 12.5),
             "satellites": "nfw", "places": 3, "sites": 16, "bins": np.array([1.0, 5.0, 20.0])},
        )  # fmt: skip
        with contextlib.suppress(MissingExtra):
            self._with_torch(hod)

    def _of_boxes(self, points):
        import pysoftcorr as p
        from pysoftcorr import mocks
        from tests.helpers.leakage_mocks import drawn, noise

        given = {**points, "boxsize": 50.0}
        flat = {
            "galaxies": points["position"], "axis": points["axis"], "boxsize": 50.0,
            "weights": np.ones(len(points["axis"])),
        }  # fmt: skip
        ellipticity = np.full(len(points["axis"]), 0.3 + 0.1j)
        moving = mocks.GalaxyCatalog(**given, velocity=np.full_like(points["position"], 100.0))
        halves = [(points["position"][k::2], points["axis"][k::2]) for k in range(2)]
        ones = [mocks.box_correlations(*x, boxsize=50.0, bins="log:1:20:4") for x in halves]
        sky = {"boxsize": 50.0, "rp_bins": [1, 5, 20], "pi_max": 20.0, "pi_bins": 4}
        flats = [mocks.projected_correlations(*x, **sky) for x in halves]
        cat = p.Catalog(**self.sky)

        def fitted(neighbors=3, device="cpu", max_iter=50, n_clusters=8):
            soft = p.SoftClustering(
                n_clusters=n_clusters, neighbors=neighbors, device=device, max_iter=max_iter, seed=1
            )
            return soft.fit(cat).memberships

        self.table |= {
            "projected_correlations": (
                mocks.projected_correlations,
                {**flat, "rp_bins": np.array([1.0, 5.0, 20.0]), "pi_max": 20.0, "pi_bins": 4}),
            "projected_correlations.shapes": (
                mocks.projected_correlations,
                {"galaxies": points["position"], "boxsize": 50.0, "ellipticity": ellipticity,
                 "rp_bins": "log:1:20:3", "pi_max": 20.0, "second": points["position"],
                 "second_axis": points["axis"]}),
            "multipoles": (mocks.multipoles, {**flat, "bins": "log:1:20:3", "mu_bins": 5}),
            "redshift_space": (
                mocks.redshift_space,
                {"galaxies": moving, "line_of_sight": "z", "redshift": 0.5,
                 "cosmology": "planck15"}),
            "box_correlations.resampled": (
                mocks.box_correlations,
                {**flat, "bins": "log:1:20:4", "resampling": "jackknife:8", "seed": 1}),
            "box_correlations.open": (
                mocks.box_correlations,
                {**flat, "bins": "log:1:20:4", "periodic": False, "wrap": False}),
            "BoxCorrelations.combine": (mocks.BoxCorrelations.combine, {"results": ones}),
            "ProjectedCorrelations.combine": (
                mocks.ProjectedCorrelations.combine, {"results": flats}),
            "projected_shapes": (
                mocks.projected_shapes, {"axis": points["axis"], "line_of_sight": "z"}),
            "universe_design": (mocks.universe_design, {"universes": 4, "seed": 1}),
            "Subhalos": (
                mocks.Subhalos,
                {"position": points["position"], "mass": np.full(len(points["axis"]), 1e11),
                 "host": np.zeros(len(points["axis"]), int)}),
            "HODModel.preset": (mocks.HODModel.preset, {"name": "mstar10.0"}),
            "SoftClustering.neighbors": (fitted, {"neighbors": 3, "n_clusters": 8}),
            "fit_leakage": (
                p.fit_leakage,
                {"result": drawn(np.random.default_rng(3), [0.1, 1.0, 1.5], noise(30, 15)),
                 "n_samples": 20, "seed": 1}),
            "xi_pm.resampled": (
                p.xi_pm,
                {"catalog": p.Catalog(**self.sky), "bins": np.array([0.0, 20.0, 60.0]),
                 "clusters": 5, "split": 20.0, "assignments": 3, "resampling": "bootstrap:4",
                 "seed": 1}),
        }  # fmt: skip

    def _with_torch(self, hod):
        import torch

        from pysoftcorr import diffhod, emulator, inference, mocks
        from tests.helpers.analytic_emulator import AnalyticEmulator

        torch.manual_seed(1)
        model = emulator.Emulator.untrained("response", bins=[0.1, 1, 4, 16], seed=1)
        point = np.array([[0.2, 0.1, 12.0, 0.3, 12.0, 13.0, 1.0]] * 2)
        analytic = AnalyticEmulator()
        observed = inference.Observation.unaligned(analytic.edges)
        density = inference.LogPosterior(analytic, observed, fixed=self.hod)
        three = np.array([0.1, 0.2, 0.3])
        seven = np.array([0.5, 0.3, 12.6, 0.3, 12.5, 13.0, 1.0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tables = mocks.HaloTables.tabulate(
                self.halo_catalog, bins="log:1:20:3", nodes=4, sites=20, progress=False
            )
            split = mocks.HaloTables.tabulate(
                self.halo_catalog, bins="log:1:20:3", rp_bins="log:1:20:3", pi_max=20.0, nodes=4,
                assembly_split=0.5, progress=False,
            )  # fmt: skip
        field = diffhod.DiffHOD(self.halo_catalog, mesh=8, seed=1)
        five = np.array([12.5, 0.3, 12.5, 13.0, 1.0])
        quick = {"chains": 2, "warmup": 5, "draws": 5, "seed": 1, "compiled": False}
        self.table |= {
            "Emulator.untrained": (emulator.Emulator.untrained, {"bins": [0.1, 1, 4], "seed": 1}),
            "Emulator.predict": (model.predict, {"params": point, "passes": 4, "seed": 1}),
            "Emulator.jacobian": (model.jacobian, {"params": point}),
            "Emulator.draws": (model.draws, {"params": point, "passes": 4, "seed": 1}),
            "Emulator.epistemic_covariance": (
                model.epistemic_covariance, {"params": point[0], "passes": 4}),
            "Bounds.sample": (model.training_bounds.sample, {"points": 4, "seed": 1}),
            "Observation": (
                inference.Observation,
                {"bins": np.array([0.1, 1, 4, 16]), "omega": three, "covariance": np.eye(3)}),
            "Observation.errors": (
                lambda sigma=three: inference.Observation(
                    [0.1, 1, 4, 16], omega=three, errors={"omega": sigma}),
                {"sigma": three}),
            "Normal": (inference.Normal, {"mean": 0.0, "sd": 1.0}),
            "Uniform": (inference.Uniform, {"low": 0.0, "high": 1.0}),
            "TruncatedNormal": (
                inference.TruncatedNormal, {"mean": 0.0, "sd": 1.0, "low": -1.0, "high": 1.0}),
            "LogPosterior": (
                inference.LogPosterior,
                {"emulator": analytic, "observation": observed, "fixed": self.hod}),
            "LogPosterior()": (
                lambda params: density.log_likelihood(params), {"params": np.array([[0.1, 0.2]])}),
            "sample_posterior": (
                inference.sample_posterior,
                {"target": analytic, "observation": observed, "fixed": self.hod, **quick}),
            "minimize": (inference.minimize, {"loss": density, "max_iter": 3}),
            "SimulatedModel.simulate": (
                inference.SimulatedModel.simulate,
                {"halos": self.halo_catalog, "hod": self.hod, "realizations": 2, "seed": 1,
                 "noise": {"omega": np.full(4, 0.1)}, "bins": "log:1:20:4"}),
            "DiffHOD": (diffhod.DiffHOD, {"halos": self.halo_catalog, "mesh": 8, "seed": 1}),
            "DiffHOD.reference": (
                diffhod.DiffHOD,
                {"halos": self.halo_catalog, "mesh": 8, "seed": 1, "reference": five}),
            "DiffHOD.power": (field.power, {"params": five, "realization": 0}),
            "DiffHOD.galaxies": (field.galaxies, {"params": five}),
            "power_spectrum": (
                diffhod.power_spectrum,
                {"position": np.array(self.galaxies.position), "boxsize": 50.0, "mesh": 8,
                 "weight": np.ones(len(self.galaxies))}),
            "paint_cic": (
                diffhod.paint_cic,
                {"position": np.array(self.galaxies.position), "boxsize": 50.0, "mesh": 8,
                 "weight": np.ones(len(self.galaxies))}),
            "HaloTables.tabulate": (
                mocks.HaloTables.tabulate,
                {"halos": self.halo_catalog, "bins": "log:1:20:3", "nodes": 4, "sites": 20,
                 "subvolumes": 0, "concentration_groups": 1, "progress": False}),
            "HaloTables.tabulate.projected": (
                mocks.HaloTables.tabulate,
                {"halos": self.halo_catalog, "bins": "log:1:20:3", "rp_bins": np.array([1, 9.0]),
                 "pi_max": 20.0, "assembly_split": 0.5, "nodes": 4, "progress": False}),
            "HaloTables.tabulate.triaxial": (
                mocks.HaloTables.tabulate,
                {"halos": self.halo_catalog, "bins": "log:1:20:3", "nodes": 4, "sites": 8,
                 "satellites": "triaxial", "places": 3, "progress": False}),
            "HaloTables.merge": (mocks.HaloTables.merge, {"tables": [tables]}),
            "HaloTables.predict": (tables.predict, {"params": seven}),
            "HaloTables.predict.assembly": (
                split.predict, {"params": seven, "assembly_cen": 0.2, "assembly_sat": -0.2}),
            "HaloTables.jacobian": (tables.jacobian, {"params": seven}),
            "HaloTables.covariance": (
                tables.covariance, {"params": seven, "kind": "hod", "volume": 1e5}),
            "Observation.cut": (observed.cut, {"r_min": 0.5, "r_max": 10.0}),
            "Observation.cut.bins": (observed.cut, {"bins": np.array(analytic.edges[1:5])}),
            "Observation.on": (observed.on, {"bins": np.array(analytic.edges)}),
            "Observation.unaligned": (
                inference.Observation.unaligned, {"bins": np.array([0.1, 1, 4, 16])}),
            "WeightedPairs": (
                diffhod.WeightedPairs,
                {"position": np.array(self.galaxies.position), "boxsize": 50.0,
                 "bins": "log:1:20:4"}),
            "DiffHOD.correlations": (
                field.correlations, {"params": seven, "bins": "log:1:20:3"}),
            "watson_cosine": (diffhod.watson_cosine, {"u": three, "mu": 0.5}),
            "nfw_radius": (diffhod.nfw_radius, {"u": three, "concentration": 5.0}),
        }  # fmt: skip

    # ------------------------------------------------------------------ cases
    def cases(self, names=()):
        """Every case of the targets whose name begins with one of `names`; of all by default."""
        for target, (function, good) in self.table.items():
            if names and not any(target.startswith(name) for name in names):
                continue
            for argument in _arguments(function, good):
                for odd, value in SCALARS.items():
                    yield Case(target, argument, odd, value)
                known = good.get(argument)
                if not isinstance(known, np.ndarray):
                    continue
                for odd, change in SAME.items():
                    yield Case(target, argument, odd, change(known), same=True)
                for odd, change in SPOILT.items():
                    yield Case(target, argument, odd, change(known))

    def outcome(self, case):
        """What comes of a case."""
        function, good = self.table[case.target]
        arguments = {**good, case.argument: case.value}
        if case.target == "GravitySimulation.given" and case.argument == "positions":
            arguments.pop("velocities")
        with _limit(LIMIT) as late, warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                result = function(**arguments)
            except KeyboardInterrupt:  # campaigns raise one of their own in its place
                if not late:
                    raise
                return Outcome("hang")
            except (ValueError, TypeError, OSError) as error:
                return _refusal(case, good, error)
            except Exception as error:
                return Outcome("foreign", f"{type(error).__name__}: {error}")
        texts = " ".join(str(w.message) for w in said if issubclass(w.category, UserWarning))
        numpys = [w for w in said if issubclass(w.category, RuntimeWarning)]
        if not texts and _has_nan(result) and not _has_nan(self.good(case.target)):
            return Outcome("NaN", result=result)
        if numpys:
            return Outcome("numpy warning", str(numpys[0].message), result)
        return Outcome("works", texts, result)

    def good(self, target):
        """What the good arguments give; made once."""
        if not hasattr(self, "_good"):
            self._good = {}
        if target not in self._good:
            function, good = self.table[target]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._good[target] = function(**good)
        return self._good[target]


#: Words that say the same as the name of an argument.
_OTHER_NAMES = {
    "bins": ("edges", "lo", "hi", "number of bins", "n"),
    "params": ("parameters",),
    "galaxies": ("position", "axis"),
    "catalog": ("objects",),
    "fixed": ("logMmin", "HOD"),
    "sigma": ("errors", "omega"),
    "target": ("emulator",),
    "positions": ("velocities", "particles", "rows"),
    "halos": ("halo",),
    "n": ("patches", "resampling"),
    "fraction": ("LeaveOut",),
    "ra": ("the catalog is empty", "columns", "ra_unit"),
    "dec": ("columns", "dec_unit"),
    "x": ("the catalog is empty", "columns", "xy_unit"),
    "y": ("xy_unit",),
    "hi": ("edges", "bins"),
    "edges": ("bins",),
    "position": ("positions", "galaxies", "x", "the galaxy catalog is empty"),
    "reference": ("params",),
    "eccentricity": ("unbound",),
    "out": ("suffix",),
    "second": ("second_position", "second_axis"),
    "k_bins": ("bins",),
    "k_max": ("Nyquist frequency",),
    "cotangent": ("clusters",),
}
#: Texts of numpy, torch and Python, which no user should meet.
_FOREIGN = (
    "could not broadcast", "unsupported operand", "object has no attribute", "not supported betw",
    "invalid literal", "could not convert", "only length-1 arrays", "ambiguous",
    "cannot convert float", "Expected all tensors", "unhashable", "not iterable", "not subscript",
    "'NoneType'", "expected scalar type", "can't convert", "ufunc", "takes 0 positional",
    "unexpected keyword", "missing 1 required", "setting an array element", "inhomogeneous",
    "has no len()", "maximum allowed size", "Unable to allocate", "array is too big",
    "must be a sequence", "object is not callable", "given numpy array strides", "data type",
)  # fmt: skip


def _refusal(case, good, error):
    text = str(error)
    names = (case.argument, *_OTHER_NAMES.get(case.argument, ()))
    if any(_within(name, text) for name in names):
        ours = not any(foreign in text for foreign in _FOREIGN)
        return Outcome("refused" if ours else "foreign text", text)
    return Outcome("unnamed", f"{type(error).__name__}: {text}")


def _within(name, text):
    import re

    return re.search(rf"(?<![a-zA-Z_0-9]){re.escape(name)}(?![a-zA-Z0-9_])", text) is not None


def _arguments(function, good):
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if not p.name.startswith("_") and p.kind not in (2, 4)]


def _has_nan(value, depth=0):
    """Whether a number within is NaN."""
    if depth > 4 or value is None or isinstance(value, (str, bytes, int)):
        return False
    if isinstance(value, float):
        return value != value
    if hasattr(value, "detach") and not isinstance(value, (type, types.ModuleType)):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fc" and bool(np.isnan(value).any())
    if isinstance(value, dict):
        return any(_has_nan(v, depth + 1) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_nan(v, depth + 1) for v in value)
    if type(value).__module__.startswith("pysoftcorr"):
        return any(_has_nan(v, depth + 1) for v in getattr(value, "__dict__", {}).values())
    return False


def differs(one, other, depth=0):
    """Whether two results differ in a number by more than its last bits."""
    if hasattr(one, "detach") and not isinstance(one, (type, types.ModuleType)):
        one, other = one.detach().numpy(), other.detach().numpy()
    if isinstance(one, np.ndarray) and one.dtype.kind in "fciu":
        return one.shape != np.shape(other) or not np.allclose(
            one, other, rtol=1e-12, atol=1e-300, equal_nan=True
        )
    if depth > 3:
        return False
    if isinstance(one, dict):
        return any(differs(v, other[k], depth + 1) for k, v in one.items() if k in other)
    if isinstance(one, (list, tuple)):
        return any(differs(a, b, depth + 1) for a, b in zip(one, other, strict=True))
    if type(one).__module__.startswith("pysoftcorr"):
        return differs(
            dict(getattr(one, "__dict__", {})), getattr(other, "__dict__", {}), depth + 1
        )
    return False


@contextlib.contextmanager
def _limit(seconds):
    """Raise `TooLong` after so many seconds; gives a list that is not empty then."""
    late = []

    def stop(*_):
        late.append(True)
        raise TooLong

    # Of the processor, not of the clock, which goes on while others have it; or of waiting.
    timers = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
    before = {number: signal.signal(number, stop) for number in timers.values()}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10 * seconds)
    try:
        yield late
    finally:
        for timer, number in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


BAD = ("foreign", "foreign text", "unnamed", "hang", "NaN", "numpy warning")


def main(names):
    """Go through all cases, and print those that are bad and a count of each kind."""
    targets = Targets()
    words = collections.Counter()
    for case in targets.cases(names):
        try:
            found = targets.outcome(case)
        except TooLong:
            found = Outcome("hang")
        if case.same and found.word == "works" and differs(targets.good(case.target), found.result):
            found = Outcome("changed")
        words[found.word] += 1
        if found.word in (*BAD, "changed"):
            print(f"{found.word:14} {case}: {found.text[:200]!r}", flush=True)
    print(dict(words), sum(words.values()))


if __name__ == "__main__":
    main(sys.argv[1:])
