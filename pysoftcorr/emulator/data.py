"""Training and test sets of the emulator: the kept rows of a campaign, split by parameter point."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from pysoftcorr.core.files import HDF5, FileFormat, check_output
from pysoftcorr.core.options import integer
from pysoftcorr.core.random import Seed, root_seed, stream
from pysoftcorr.mocks.alignment import order_parameter
from pysoftcorr.mocks.campaign.file import STATISTICS, Campaign
from pysoftcorr.mocks.hod import COSMOLOGY, PARAMETERS, WITH_COSMOLOGY
from pysoftcorr.mocks.universes.design import held_out
from pysoftcorr.mocks.universes.file import FORMAT as UNIVERSES
from pysoftcorr.mocks.universes.file import Universes

__all__ = [
    "PARTS",
    "STATISTICS",
    "EmulatorData",
    "Split",
    "bin_centers",
    "read_data",
    "shipped_test_split",
    "split_campaign",
    "write_data",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PARTS = ("train", "validation", "test")
FRACTIONS = (0.7, 0.1, 0.2)
#: Bits kept of the 23 of a float32: a relative precision of 6e-5, far below the noise of a row.
MANTISSA_BITS = 13
#: Covariances have so many less: they are right to a percent.
_FEWER_BITS = 5
_LEAST_ROWS = 10
#: Pairs of galaxies in each bin of a row of universes, in expectation.
LEAST_PAIRS = 10
#: Part of the HODs that are all but all of them.
_TO_THE_END = 0.99
#: Fewest universes of a split; of those that are not held out one of so many is watched.
_LEAST_UNIVERSES, _WATCHED = 16, 8
DRAWN = {"xi": 3, "omega": 3, "eta": 3}  # dimensions: (n, R, b)
MEANS = {
    "expected_omega": 2,
    "expected_eta": 2,
    "expected_omega_variance": 2,
    "expected_eta_variance": 2,
}
RESPONSES = {"response": 3, "response_variance": 3}  # (n, 5, b)
OF_UNIVERSES = ("universe", "chance", "chance_row")


def bin_centers(edges: FloatArray) -> FloatArray:
    """Geometric centers of bins, shape (b,); a first edge of 0 counts as a quarter of the next."""
    low = np.where(edges[:-1] > 0, edges[:-1], 0.25 * edges[1:])
    return np.asarray(np.sqrt(low * edges[1:]))


@dataclass(frozen=True, eq=False)
class EmulatorData:
    """Rows of a campaign that an emulator learns from or is judged by.

    n parameter points, R realizations of each, b bins. Variances are over the realizations,
    without bias (divided by R - 1). Rows of universes have one realization, the expectation in that
    universe.

    Attributes
    ----------
    parameters : ndarray, shape (n, 7) or (n, 10)
        Columns in the order of `pysoftcorr.mocks.hod.PARAMETERS`, and Omega_m, sigma_8, z.
    edges : ndarray, shape (b + 1,)
        Mpc/h.
    xi, omega, eta : ndarray, shape (n, R, b)
        Measured with the drawn axes; xi is positive.
    expected_omega, expected_eta : ndarray, shape (n, b), or None
        Exact means over all draws of the axes, averaged over the realizations.
    expected_omega_variance, expected_eta_variance : ndarray, shape (n, b), or None
        Variances of those exact means among realizations.
    response, response_variance : ndarray, shape (n, 5, b), or None
        A, B, C, D, E of omega = a_cen A + a_sat B and
        eta = a_cen^2 C + a_cen a_sat D + a_sat^2 E, averaged over the realizations, where a is
        `pysoftcorr.mocks.alignment.order_parameter` of the alignment strength.
    universe : ndarray of int64, shape (n,), or None
        Number of the universe of each row.
    chance : ndarray, shape (k, 3, b, b), or None
        Covariance between bins of log xi, omega and eta of one box, given its halos, in the rows
        `chance_row`, ndarray of int64, shape (k,).
    row : ndarray of int64, shape (n,)
        Row numbers of the campaign.
    description : dict
        The campaign's settings, the part, the seed and fractions of the split, rows left out.

    Raises
    ------
    ValueError
        If shapes disagree, there is no row, a number is not finite, or an xi is not positive.
    """

    parameters: FloatArray
    edges: FloatArray
    xi: FloatArray
    omega: FloatArray
    eta: FloatArray
    expected_omega: FloatArray | None = None
    expected_eta: FloatArray | None = None
    expected_omega_variance: FloatArray | None = None
    expected_eta_variance: FloatArray | None = None
    response: FloatArray | None = None
    response_variance: FloatArray | None = None
    universe: IntArray | None = None
    chance: FloatArray | None = None
    chance_row: IntArray | None = None
    row: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    description: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            kept = ("row", "universe", "chance_row", "description")
            if item.name not in kept and value is not None:
                object.__setattr__(self, item.name, np.asarray(value, dtype=np.float64))
        if self.universe is not None:
            # There is no noise of galaxies: what is there is the expectation.
            for name in ("omega", "eta"):
                if getattr(self, f"expected_{name}") is None:
                    object.__setattr__(self, f"expected_{name}", getattr(self, name)[:, 0])
        if self.row.size == 0:
            object.__setattr__(self, "row", np.arange(len(self.parameters), dtype=np.int64))
        _check(self)

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def nbins(self) -> int:
        """Number of bins, b."""
        return len(self.edges) - 1

    @property
    def realizations(self) -> int:
        """Mock catalogs of one parameter point, R."""
        return self.xi.shape[1]

    @classmethod
    def from_campaign(cls, campaign: Campaign) -> EmulatorData:
        """The kept rows of a campaign, less those with an xi that is not positive.

        The emulator is of log xi, so that a row where any realization has xi <= 0 in any bin
        cannot be used; such rows are counted in a warning and in ``description["left_out"]``.

        Raises
        ------
        TypeError
            If it is no campaign.
        ValueError
            If no row can be used.
        """
        for name in ("parameters", "kept", "edges", *STATISTICS):
            if not hasattr(campaign, name):
                raise TypeError(
                    f"campaign must be a pysoftcorr.mocks.Campaign, not {type(campaign).__name__}"
                )
        rows = np.flatnonzero(campaign.kept)
        if rows.size == 0:
            raise ValueError(f"campaign: none of its {len(campaign.kept)} rows is kept")
        positive = (campaign.xi[rows] > 0).all(axis=(1, 2))
        if not positive.any():
            raise ValueError("campaign: every kept row has an xi <= 0, of which there is no log")
        left_out = {"not kept": int((~campaign.kept).sum()), "xi <= 0": int((~positive).sum())}
        if left_out["xi <= 0"]:
            shown = ", ".join(str(row) for row in rows[~positive][:5])
            warnings.warn(
                f"{left_out['xi <= 0']} of {rows.size} kept rows have an xi <= 0 and are left out "
                f"(rows {shown}{', ...' if left_out['xi <= 0'] > 5 else ''})",
                UserWarning,
                stacklevel=2,
            )
        rows = rows[positive]
        means: dict[str, Any] = {}
        for name in ("expected_omega", "expected_eta", "response"):
            values = getattr(campaign, name, None)
            if values is not None:
                means[name] = values[rows].mean(axis=1)
                means[f"{name}_variance"] = _variance(values[rows])
        return cls(
            parameters=campaign.parameters[rows],
            edges=campaign.edges,
            **{name: getattr(campaign, name)[rows] for name in STATISTICS},
            **means,
            row=rows.astype(np.int64),
            description={"campaign": dict(campaign.settings), "part": "all", "left_out": left_out},
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters of the columns."""
        return WITH_COSMOLOGY[: self.parameters.shape[1]]

    @classmethod
    def from_universes(cls, universes: Universes, *, numbers: Any = None) -> EmulatorData:
        """Rows of a campaign of universes, less those where a bin has hardly any pair.

        A bin of fewer than ten pairs of galaxies in expectation is empty in one such box or
        another, and has no log xi. Where that is so for most HODs, log Mmin ends: rows beyond, few
        and unlike others, are left out too.

        Parameters
        ----------
        universes : Universes
        numbers : sequence of int, optional
            Which of them; all by default.

        Raises
        ------
        TypeError
            If it is none.
        ValueError
            If no row can be used.
        """
        if not isinstance(universes, Universes):
            raise TypeError(
                f"universes must be a pysoftcorr.mocks.Universes, not {type(universes).__name__}"
            )
        chosen = np.arange(len(universes)) if numbers is None else np.asarray(list(numbers))
        n, c = universes.xi.shape[1], universes.chance.shape[1]
        points = universes.parameters[chosen].reshape(-1, len(PARAMETERS))
        worlds = np.repeat(universes.worlds[chosen], n, axis=0)
        xi = universes.xi[chosen].reshape(len(points), -1)
        response = universes.response[chosen].reshape(len(points), -1, xi.shape[1])
        good = np.asarray(np.isfinite(xi).all(axis=1) & (xi > 0).all(axis=1))
        good &= np.isfinite(response).all(axis=(1, 2))
        good &= (universes.pairs[chosen].reshape(xi.shape) >= LEAST_PAIRS).all(axis=1)
        low, high = universes.settings.get("logMmin", (points[:, 2].min(), points[:, 2].max()))
        reach = _reach(universes, float(high))
        left_out = {"few pairs or xi <= 0": int((~good).sum())}
        left_out["logMmin beyond reach"] = int((good & (points[:, 2] > reach)).sum())
        good &= points[:, 2] <= reach
        if not good.any():
            raise ValueError("universes: every row has a bin of hardly any pairs, or an xi <= 0")
        chance = universes.chance[chosen]
        at = (np.arange(len(chosen))[:, None] * n + np.arange(c)).ravel()
        known = np.isfinite(chance.reshape(len(at), -1)).all(axis=1) & good[at]
        place = np.cumsum(good) - 1
        cen, sat = (order_parameter(points[good, k])[:, None] for k in (0, 1))
        a, b, cc, cs, ss = np.moveaxis(response[good], 1, 0)
        omega = cen * a + sat * b
        eta = cen * cen * cc + cen * sat * cs + sat * sat * ss
        campaign = {**universes.settings, "logMmin": [float(low), reach]}
        return cls(
            parameters=np.concatenate([points, worlds], axis=1)[good],
            edges=universes.edges,
            xi=xi[good, None], omega=omega[:, None], eta=eta[:, None],
            expected_omega=omega, expected_eta=eta, response=response[good],
            universe=np.repeat(chosen, n)[good],
            chance=chance.reshape(-1, *chance.shape[2:])[known], chance_row=place[at[known]],
            row=np.flatnonzero(good).astype(np.int64),
            description={"campaign": campaign, "part": "all",
                         "left_out": left_out},
        )  # fmt: skip

    def take(
        self, index: npt.ArrayLike, *, description: Mapping[str, Any] | None = None
    ) -> EmulatorData:
        """Some of the rows, by number or by a mask; `description` is added to theirs.

        Raises
        ------
        IndexError
            If a row is not there.
        """
        chosen = np.asarray(index)
        values: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[chosen]
            for name in ("parameters", "row", "universe", *DRAWN, *MEANS, *RESPONSES)
        }
        if self.chance is not None and self.chance_row is not None:
            place = np.full(len(self), -1)
            rows = np.arange(len(self))[chosen]
            place[rows] = np.arange(len(rows))
            there = place[self.chance_row] >= 0
            values["chance"] = self.chance[there]
            values["chance_row"] = place[self.chance_row[there]]
        return replace(self, **values, description={**self.description, **(description or {})})

    def write(
        self,
        path: str | PathLike[str],
        *,
        responses: bool = False,
        mantissa_bits: int = MANTISSA_BITS,
        overwrite: bool = False,
    ) -> None:
        """Write to HDF5, compressed.

        Parameters
        ----------
        path : path-like
            .h5 or .hdf5.
        responses : bool
            Also `response` and its variance, which training wants and judging does not.
        mantissa_bits : int
            Correlations are kept as float32 with so many bits of the mantissa, 1 to 23; the
            relative error is 2**-(mantissa_bits + 1): 6e-5 by default. Parameters and edges are
            kept whole.

        Raises
        ------
        ValueError, FileNotFoundError, FileExistsError, OSError
            As `pysoftcorr.core.files.check_output`; or `mantissa_bits` is none.

        Examples
        --------
        >>> import tempfile, pathlib, numpy as np
        >>> from pysoftcorr.emulator.data import EmulatorData
        >>> one = np.ones((4, 3, 2))
        >>> data = EmulatorData(parameters=np.ones((4, 7)), edges=np.array([0.1, 1, 10]),
        ...                     xi=one, omega=one, eta=one)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     data.write(pathlib.Path(folder) / "test.h5")
        ...     len(EmulatorData.read(pathlib.Path(folder) / "test.h5"))
        4
        """
        write_data(
            path,
            {"": self},
            responses=responses,
            mantissa_bits=mantissa_bits,
            overwrite=overwrite,
        )

    @classmethod
    def read(cls, path: str | PathLike[str]) -> EmulatorData:
        """Read the file of one part.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it is none, damaged, of a newer format, or holds a whole split.
        """
        found = read_data(path)
        if isinstance(found, EmulatorData):
            return found
        raise ValueError(f"{path} holds a {type(found).__name__}, not one part of it")


class Split(NamedTuple):
    """Training, validation and test rows; no parameter point is in two of them."""

    train: EmulatorData
    validation: EmulatorData
    test: EmulatorData

    def write(
        self,
        path: str | PathLike[str],
        *,
        mantissa_bits: int = MANTISSA_BITS,
        overwrite: bool = False,
    ) -> None:
        """Write all parts, with the responses, to one file; errors as `EmulatorData.write`."""
        write_data(
            path,
            self._asdict(),
            responses=True,
            mantissa_bits=mantissa_bits,
            overwrite=overwrite,
        )


def split_campaign(
    campaign: Campaign | Universes | EmulatorData,
    *,
    seed: Seed = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> Split:
    """Split the usable rows of a campaign into training, validation and test sets.

    A row is one parameter point with all its realizations, so that no point is in two sets. Of
    universes no universe is: the last quarter of them is the test set, of the others an eighth,
    spread among them, the validation set.

    Parameters
    ----------
    campaign : Campaign, Universes or EmulatorData
    seed : int or numpy.random.Generator, optional
    fractions : (float, float, float)
        Parts of train, validation and test rows; they add to 1.

    Raises
    ------
    ValueError
        If the fractions are not positive or do not add to 1, or there are fewer than 10 rows.

    Examples
    --------
    >>> import numpy as np
    >>> from pysoftcorr.emulator.data import EmulatorData, split_campaign
    >>> one = np.ones((50, 3, 2))
    >>> data = EmulatorData(parameters=np.ones((50, 7)), edges=np.array([0.1, 1, 10]),
    ...                     xi=one, omega=one, eta=one)
    >>> [len(part) for part in split_campaign(data, seed=1)]
    [35, 5, 10]
    """
    parts = np.asarray(fractions, dtype=np.float64)
    if parts.shape != (3,) or not (parts > 0).all() or abs(parts.sum() - 1) > 1e-9:
        raise ValueError(f"fractions = {fractions!r}: must be three positive numbers that add to 1")
    if isinstance(campaign, Universes):
        return _split_universes(campaign)
    data = campaign if isinstance(campaign, EmulatorData) else EmulatorData.from_campaign(campaign)
    if len(data) < _LEAST_ROWS:
        raise ValueError(
            f"campaign has {len(data)} usable rows; a split needs at least {_LEAST_ROWS}"
        )
    root = root_seed(seed)
    order = stream(root, "split of a campaign").permutation(len(data))
    ends = np.clip(np.round(np.cumsum(parts[:2]) * len(data)).astype(int), 1, len(data) - 1)
    ends[0] = min(ends[0], ends[1] - 1)
    said = {"split_seed": root, "fractions": parts.tolist(), "usable_rows": len(data)}
    pieces = np.split(order, ends)
    return Split(
        *(
            data.take(np.sort(piece), description={"part": part, **said})
            for part, piece in zip(PARTS, pieces, strict=True)
        )
    )


def _reach(universes: Universes, high: float) -> float:
    """Highest log Mmin: most HODs below it have pairs enough in every bin, most above have not."""
    enough = (universes.pairs >= LEAST_PAIRS) & (universes.xi > 0)
    good = enough.all(axis=2).ravel()
    logm = universes.parameters[..., 2].ravel()
    order = np.argsort(logm, kind="stable")
    gain = np.cumsum(np.where(good[order], 1, -1))
    last = int(np.argmax(gain))
    return high if last >= _TO_THE_END * len(order) - 1 else float(logm[order[last]])


def _split_universes(universes: Universes) -> Split:
    if len(universes) < _LEAST_UNIVERSES:
        raise ValueError(
            f"universes: {len(universes)} are too few to hold some out; a split needs "
            f"{_LEAST_UNIVERSES}"
        )
    last = held_out(len(universes))
    others = np.arange(last.start)
    watched = others[_WATCHED // 2 :: _WATCHED]
    parts = (np.setdiff1d(others, watched), watched, np.asarray(last))
    made = []
    for part, numbers in zip(PARTS, parts, strict=True):
        rows = EmulatorData.from_universes(universes, numbers=numbers)
        if part == "test" and rows.chance_row is not None:
            rows = rows.take(np.unique(rows.chance_row))  # what is judged by
        said = {"part": part, "universes": numbers.tolist()}
        made.append(replace(rows, description={**rows.description, **said}))
    return Split(*made)


def shipped_test_split() -> Path:
    """The test part of the campaign that the shipped emulator was trained on.

    Raises
    ------
    FileNotFoundError
        If this installation has none.
    """
    path = Path(__file__).with_name("weights") / "test_split.h5"
    if not path.is_file():
        raise FileNotFoundError(
            f"this installation of pysoftcorr has no test split ({path}); give a campaign or a "
            "split, as softcorr campaign and softcorr train write them"
        )
    return path


# ---------------------------------------------------------------------- checks
def _variance(values: FloatArray) -> FloatArray:
    return values.var(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros_like(values[:, 0])


def _check(data: EmulatorData) -> None:
    n, b = len(data.parameters), len(data.edges) - 1
    m = len(data.names)
    if data.parameters.shape != (n, m) or m < len(PARAMETERS) or n == 0:
        raise ValueError(
            f"parameters has shape {data.parameters.shape}: must be (n, 7), n at least 1, with "
            f"columns {', '.join(PARAMETERS)}; or (n, 10) with {', '.join(COSMOLOGY)}"
        )
    if b < 1 or not (np.isfinite(data.edges).all() and (np.diff(data.edges) > 0).all()):
        raise ValueError("edges must rise and be at least two")
    r = data.xi.shape[1] if data.xi.ndim == 3 else 0
    wanted = {**dict.fromkeys(DRAWN, (n, r, b)), **dict.fromkeys(MEANS, (n, b))}
    wanted |= dict.fromkeys(RESPONSES, (n, 5, b))
    if (data.chance is None) != (data.chance_row is None):
        raise ValueError("chance and chance_row: the one needs the other")
    if data.chance is not None and data.chance_row is not None:
        wanted["chance"] = (len(data.chance_row), 3, b, b)
    for name, shape in {"parameters": (n, m), **wanted}.items():
        values = getattr(data, name)
        if values is None:
            continue
        if values.shape != shape or (0 in shape and name != "chance"):
            raise ValueError(f"{name} has shape {values.shape}: must be {shape}")
        bad = ~np.isfinite(values)
        kind = "not finite"
        if name == "xi":
            bad |= ~(values > 0)
            kind = "not positive"
        if bad.any():
            rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))
            shown = ", ".join(str(row) for row in rows[:5])
            raise ValueError(
                f"{name} is {kind} in {rows.size} of {n} rows (rows {shown}"
                f"{', ...' if rows.size > 5 else ''}, counted from 0)"
            )
    for name in ("row", "universe"):
        if getattr(data, name) is not None and getattr(data, name).shape != (n,):
            raise ValueError(f"{name} has shape {getattr(data, name).shape}: must be {(n,)}")


FORMAT = FileFormat("pysoftcorr emulator data", "emulator data or campaign")


def read_data(path: str | PathLike[str]) -> Campaign | Universes | EmulatorData | Split:
    """Read whichever the file holds: a campaign, also of universes, one part of it, or a split.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is none of these, damaged, or of a newer format.
    """
    if not FORMAT.is_own(path):
        return Universes.read(path) if UNIVERSES.is_own(path) else Campaign.read(path)
    with FORMAT.reading(path) as file:
        if "parameters" in file:
            return _read_part(file)
        return Split(*(_read_part(file[part]) for part in PARTS))


def _rounded(values: FloatArray, bits: int) -> npt.NDArray[np.float32]:
    """The nearest float32 with so many bits of the mantissa; the rest compresses to nothing."""
    drop = 23 - bits
    word = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    if drop:
        half = np.uint32(1 << (drop - 1))
        word = (word + half) & np.uint32(0xFFFFFFFF ^ ((1 << drop) - 1))
    return word.view(np.float32)


def write_data(
    path: str | PathLike[str],
    parts: Mapping[str, EmulatorData],
    *,
    responses: bool = False,
    mantissa_bits: int = MANTISSA_BITS,
    overwrite: bool = False,
) -> None:
    """Write one part, under the name "", or several to one file; errors as `EmulatorData.write`."""
    bits = integer("mantissa_bits", mantissa_bits, least=1, most=23)
    target = check_output(path, suffixes=HDF5, overwrite=overwrite)
    names = [*DRAWN, *MEANS, *(RESPONSES if responses else ())]
    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
    with FORMAT.writing(target, overwrite=overwrite) as file:
        for part, data in parts.items():
            group = file.require_group(part) if part else file
            group.attrs["description"] = json.dumps(data.description)
            group.attrs["mantissa_bits"] = bits
            for name in ("parameters", "edges", "row"):
                group.create_dataset(name, data=getattr(data, name), **packed)
            group["parameters"].attrs["columns"] = list(data.names)
            if data.universe is not None:
                group.create_dataset("universe", data=data.universe, **packed)
            if data.chance is not None and data.chance_row is not None:
                group.create_dataset("chance_row", data=data.chance_row, **packed)
                few = max(bits - _FEWER_BITS, 1)
                group.create_dataset("chance", data=_rounded(data.chance, few), **packed)
            group["edges"].attrs["unit"] = "Mpc/h"
            for name in names:
                values = getattr(data, name)
                if data.universe is not None and name in MEANS:
                    continue  # the values of the single realization
                if values is not None:
                    group.create_dataset(name, data=_rounded(values, bits), **packed)


def _read_part(group: h5py.Group) -> EmulatorData:
    columns = [str(name) for name in group["parameters"].attrs["columns"]]
    if tuple(columns) not in (PARAMETERS, WITH_COSMOLOGY):
        raise ValueError(f"its parameters are {', '.join(columns)}, not {', '.join(PARAMETERS)}")
    names = [n for n in (*DRAWN, *MEANS, *RESPONSES, *OF_UNIVERSES) if n in group or n in DRAWN]
    return EmulatorData(
        parameters=group["parameters"][...],
        edges=group["edges"][...],
        row=group["row"][...],
        description=json.loads(group.attrs["description"]),
        **{name: group[name][...] for name in names},
    )
