"""What a table of halos lacks, filled in by relations, and radii beside what they should be."""

from __future__ import annotations

import numpy as np
from colossus.cosmology import cosmology as _cosmologies

from pysoftcorr.core.cautions import caution
from pysoftcorr.core.checks import FloatArray, Origin
from pysoftcorr.mocks.cosmology import Cosmology

_DEFINITIONS = ("vir", "200m", "200c", "500c", "2500c")
#: Radii of one definition in another cosmology, or of masses that are not spherical ones.
_TOLERANCE = 1.4
#: Where redshift and cosmology are known, radii of the definition are exact to a per cent or so:
#: what is off by more than this, and by just what another reading makes, is of that one.
_EXACT, _ALIKE = 1.05, 1.02


def world_of(omega_m: float | None, h: float | None, name: str | None = None) -> Cosmology | None:
    """The cosmology that a file states, by its name or its density of matter and H0.

    Where only these two are known, the rest is that of the known cosmology that has them, or
    else of planck18; None where they are not known.
    """
    if name is not None:
        known_world = Cosmology(name)
        om = float(known_world.to_dict()["Om0"])
        if omega_m is not None and abs(om - omega_m) > 0.005:
            caution(
                f"the file names the cosmology {name}, of Om0 = {om:.4g}, and says Om0 = "
                f"{omega_m:.4g}: {name} is taken; pass cosmology= for another"
            )
        return known_world
    if omega_m is None or h is None or not (0 < omega_m < 2 and 0.1 < h < 2):
        return None
    for known, values in _cosmologies.cosmologies.items():
        # Those without massless neutrinos and the like come after the usual ones.
        if known == "powerlaw" or known.endswith("-only"):
            continue
        if abs(values["Om0"] - omega_m) < 6e-4 and abs(values["H0"] - 100 * h) < 0.1:
            return Cosmology(known)
    parameters = Cosmology("planck18").to_dict()
    parameters |= {"name": "planck18 with Om0 and H0 of the file", "Om0": omega_m, "H0": 100 * h}
    parameters.pop("Ode0", None)
    return Cosmology(parameters)


class Filler:
    """Fills in what a table lacks, and remembers what and how."""

    def __init__(
        self,
        world: Cosmology | None,
        mdef: str,
        relation: str,
        redshift: float,
        known: bool = True,
    ) -> None:
        self.world, self.mdef, self.relation, self.redshift = world, mdef, relation, redshift
        self.assumed = [] if known else ["redshift"]
        self.filled: dict[str, str] = {}

    def _needed(self) -> Cosmology:
        if self.world is None:
            self.world = Cosmology("planck18")
            self.assumed.append("cosmology")
        return self.world

    def radius(self, mass: FloatArray) -> FloatArray:
        """Radii in Mpc/h by the mass definition."""
        world = self._needed()
        self.filled["radius"] = (
            f"from mass, definition {self.mdef!r}, {world.name} at z = {self.redshift:g}"
        )
        return world.radius(mass, redshift=self.redshift, mdef=self.mdef)

    def concentration(self, mass: FloatArray) -> FloatArray:
        """Median concentrations by the relation."""
        world = self._needed()
        self.filled["concentration"] = (
            f"median of {self.relation!r} for {self.mdef!r}, {world.name} at "
            f"z = {self.redshift:g}, no scatter"
        )
        return world.concentration(
            mass, redshift=self.redshift, mdef=self.mdef, model=self.relation
        )

    def warn(self, label: str) -> None:
        """A warning of what was filled in, and of what was assumed for it."""
        missing = {k: v for k, v in self.filled.items() if k != "axis"}
        if missing:
            listed = "; ".join(f"{name}: {how}" for name, how in missing.items())
            assumed = ""
            if self.assumed:
                options = " and ".join(f"{name}=..." for name in self.assumed)
                assumed = (
                    f"; the {' and the '.join(self.assumed)} are assumed, pass {options}"
                    if len(self.assumed) > 1
                    else f"; the {self.assumed[0]} is assumed, pass {options}"
                )
            caution(f"{label}: filled in what it lacks ({listed}){assumed}")


def check_definition(
    radius: FloatArray,
    mass: FloatArray,
    world: Cosmology | None,
    mdef: str,
    redshift: float | None,
    origin: Origin,
) -> None:
    """A warning where radii are not those of the masses by the definition, all alike.

    Single rows are for `pysoftcorr.mocks.checks.radius_fault`; here the median shows physical
    instead of comoving lengths, another definition, or a lacking h.
    """
    known = world or Cosmology("planck18")
    z = redshift or 0.0
    sample = slice(None, None, max(1, len(mass) // 1000))
    mass, radius = mass[sample], radius[sample]
    try:
        ratio = float(np.median(radius / known.radius(mass, redshift=z, mdef=mdef)))
    except ValueError:
        return  # a definition that no relation knows
    wide = not 1 / _TOLERANCE < ratio < _TOLERANCE
    certain = world is not None and redshift is not None and not 1 / _EXACT < ratio < _EXACT
    if not (wide or certain):
        return
    h = float(known.to_dict()["H0"]) / 100
    readings = {
        f"are they physical? Multiply them by 1 + z, {1 + z:.4g}": 1 / (1 + z),
        f"are they in Mpc, not Mpc/h? Multiply them by h, {h:.4g}": 1 / h,
        f"are masses in Msun, not Msun/h? Multiply them by h, {h:.4g}": h ** (1 / 3),
        f"are masses in Msun and radii in Mpc, without the h? Multiply both by h, {h:.4g}": (
            h ** (-2 / 3)
        ),
    }
    for other in _DEFINITIONS:
        if other != mdef:
            expected = float(np.median(radius / known.radius(mass, redshift=z, mdef=other)))
            hint = f"they are those of mdef={other!r}: pass that, if the masses are too"
            readings[hint] = ratio / expected
    apart = {hint: float(np.abs(np.log(ratio / value))) for hint, value in readings.items()}
    hint = min(apart, key=lambda one: apart[one])
    if apart[hint] > np.log(_ALIKE if certain and not wide else 1.1):
        if not wide:
            return
        hint = f"are they of the definition mdef = {mdef!r}?"
    at = f"z = {z:g}" + ("" if redshift is not None else ", assumed as the file does not say")
    caution(
        f"{origin.column('radius')} is in the median {ratio:.3g} times the comoving radius of its "
        f"mass ({mdef!r}, {known.name}, {at}): {hint}"
    )
