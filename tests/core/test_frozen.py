"""Arrays and mappings that cannot be written to by any of NumPy's ways."""

import copy
import pickle

import numpy as np
import pytest

from pysoftcorr.core.frozen import FrozenMapping, freeze, frozen_array

ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.arange(10)[::2],
    np.array([1, 2], dtype=">i4"),
    np.array([2**63 + 1], dtype=np.uint64),
    np.array(["a", "long"]),
    np.array([b"a", b"bc"]),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    np.array([object(), None], dtype=object),
    np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: str(a.dtype))
def test_arrays_cannot_be_written_to(array):
    fixed = frozen_array(array)
    assert fixed.dtype == array.dtype
    assert fixed.shape == array.shape
    np.testing.assert_array_equal(fixed, array)
    assert not np.shares_memory(fixed, array)
    for attempt in (
        lambda: fixed.__setitem__(0, fixed[0]),
        lambda: fixed.setflags(write=True),
        lambda: setattr(fixed.flags, "writeable", True),
        lambda: fixed[:1].setflags(write=True),
        lambda: fixed.view().setflags(write=True),
    ):
        with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
            attempt()
    assert frozen_array(fixed) is fixed or array.dtype.hasobject


def test_masked_arrays_keep_data_and_mask():
    fixed = frozen_array(np.ma.array([1, 2, 3], mask=[0, 1, 0]))
    for attempt in (
        lambda: fixed.__setitem__(0, 5),
        lambda: fixed.__setitem__(0, np.ma.masked),
        lambda: fixed.mask.__setitem__(0, True),
        lambda: setattr(fixed, "mask", [1, 1, 1]),
        lambda: fixed.data.__setitem__(0, 3),
    ):
        with pytest.raises(ValueError, match="read-only"):
            attempt()
    assert fixed.tolist() == [1, None, 3]


def test_mappings():
    mapping = FrozenMapping({"x": np.ma.array([1, 2], mask=[0, 1]), "n": 3}, "use replace")
    for attempt in (
        lambda: mapping.__setitem__("n", 4),
        lambda: mapping.__delitem__("n"),
        lambda: setattr(mapping, "_items", {}),
        lambda: setattr(mapping, "other", 1),
    ):
        with pytest.raises(TypeError, match="read-only; use replace"):
            attempt()
    other = mapping["x"]
    other.unshare_mask()
    other[0] = np.ma.masked
    assert mapping["x"].tolist() == [1, None]
    assert copy.deepcopy(mapping) is mapping is copy.copy(mapping)
    again = pickle.loads(pickle.dumps(mapping))
    with pytest.raises(ValueError, match="read-only"):
        again["x"][0] = 7
    assert FrozenMapping({"a": "b"}) == {"a": "b"}


def test_freeze_reaches_into_containers():
    inner = freeze({"a": [np.zeros(2)], "b": (np.ones(1), "text")})
    for array in (inner["a"][0], inner["b"][0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5
