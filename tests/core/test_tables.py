"""Columns keep their type and their missing entries, whatever the format."""

import numpy as np
import pytest

from helpers.typed_tables import IN_MEMORY, WRITERS, typed_table
from pysoftcorr.core.tables import open_table

MISSING = {"parent": [1], "known": [3], "band": [3], "mag": [2]}


def check(table, *, truth="b"):
    wanted = typed_table()
    assert "hash" in table.names or table.names == [n for n in wanted.colnames if n != "hash"]
    for name in (n for n in wanted.colnames if n in table.names):
        values = table.column(name)
        mask = np.ma.getmaskarray(values)
        if name == "mag":  # NaN is how some formats say that a decimal number is missing
            mask = ~np.isfinite(np.ma.filled(values, np.nan))
        assert np.flatnonzero(mask).tolist() == MISSING.get(name, []), name
        assert isinstance(values, np.ma.MaskedArray) or name not in MISSING or name == "mag"
        there = np.ma.getdata(values)[~mask]
        expected = np.ma.getdata(wanted[name])[~mask]
        np.testing.assert_array_equal(there, expected, err_msg=name)
        kind = {"good": truth, "known": truth}.get(name, wanted[name].dtype.kind)
        assert values.dtype.kind == kind, (name, values.dtype)
        if name in ("id", "parent", "hash"):
            assert values.dtype == wanted[name].dtype
        assert values.shape == (4,)


@pytest.mark.parametrize("name", WRITERS)
def test_files(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    with open_table(path) as table:
        if name == "netcdf.h5":  # netCDF has no truth values
            assert table.column("known").tolist() == [1, 0, 1, None]
            table._cache["known"] = table.column("known").astype(bool)
        check(table)


@pytest.mark.parametrize("name", IN_MEMORY)
def test_tables_in_memory(name):
    with open_table(IN_MEMORY[name]()) as table:
        check(table)
