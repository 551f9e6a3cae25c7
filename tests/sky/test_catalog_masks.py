"""A missing entry satisfies no condition, in whatever format it is missing."""

import numpy as np
import pytest

from helpers.typed_tables import BIG, IN_MEMORY, WRITERS
from pysoftcorr.sky.catalog import Catalog

#: Rows left by a condition of `select`, and by a `flag`, of the table of helpers/typed_tables.py.
SELECTED = {
    "band == 'r'": [0],
    "band != 'r'": [1, 2],
    "not (band == 'r')": [1, 2],
    "known": [0, 2],
    "not known": [1],
    "~known": [1],
    "known or good": [0, 2, 3],
    "known and good": [0, 2],
    "parent > 6": [0, 2, 3],
    "isfinite(mag)": [0, 1, 3],
    "mag < 22": [0, 1],
    "not (mag < 22)": [3],
    f"id == {BIG + 1}": [0],
    f"parent == {BIG + 3}": [2],
}
FLAGGED = {"parent & 4": [0, 2], "parent - 7": [3], "parent": []}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [*WRITERS, *IN_MEMORY])
def test_conditions(tmp_path, name):
    if name in IN_MEMORY:
        source = IN_MEMORY[name]()
    else:
        source = tmp_path / name
        WRITERS[name](source)
    for argument, cases in (("select", SELECTED), ("flag", FLAGGED)):
        for text, rows in cases.items():
            if name == "netcdf.h5":  # netCDF has no truth values
                text = text.replace("known", "(known == 1)")
            if rows:
                dec = Catalog.read(source, **{argument: text}).dec
                np.testing.assert_array_equal(dec, np.array([-1.0, -1.1, -1.2, -1.3])[rows], text)
            else:
                with pytest.raises(ValueError, match="the catalog is empty"):
                    Catalog.read(source, **{argument: text})
