"""The COSMOS-Web star catalog, which is no part of the project, where it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NAMED = os.environ.get("PYSOFTCORR_TEST_DATA")
FOLDER = Path(NAMED) if NAMED else Path(__file__).resolve().parents[3] / "shared" / "data"
REAL_STARS = FOLDER / "cosmosweb_f115w_stars.fits"

if NAMED and not REAL_STARS.exists():
    raise FileNotFoundError(f"PYSOFTCORR_TEST_DATA = {NAMED}: there is no {REAL_STARS.name}")

needs_real_stars = pytest.mark.skipif(
    not REAL_STARS.exists(),
    reason=f"{REAL_STARS} is not there; PYSOFTCORR_TEST_DATA may name its folder",
)
