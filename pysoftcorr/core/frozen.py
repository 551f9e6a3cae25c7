"""Values that stay what they were checked to be: arrays, mappings, and objects made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import numpy as np

Self = TypeVar("Self")


def frozen_array(values: Any) -> Any:
    """The array as one that cannot be written to, nor be made writable again.

    A copy stands on immutable bytes; NumPy lets nobody switch such an array to writable, as it
    would an array that owns its numbers. Arrays that are so already are returned as they are.
    """
    if isinstance(values, np.ma.MaskedArray):
        data = frozen_array(np.ma.getdata(values))
        made = np.ma.MaskedArray(data, mask=frozen_array(np.ma.getmaskarray(values)))
        made.flags.writeable = False
        return made
    array = np.asarray(values)
    if isinstance(_root(array), bytes) and not array.flags.writeable:
        return array
    if array.dtype.hasobject or array.size == 0:
        fixed = array.copy()
        fixed.setflags(write=False)
        return fixed.view()
    if array.dtype.kind in "mM":
        # Dates have no buffer of their own kind.
        return np.frombuffer(array.tobytes(), np.int64).view(array.dtype).reshape(array.shape)
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def _root(array: Any) -> Any:
    base = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base


def freeze(value: Any) -> Any:
    """The value with every array in it read-only: arrays, and mappings and sequences of them."""
    if isinstance(value, np.ndarray):
        return frozen_array(value)
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(freeze(item) for item in value)
    if type(value) is list:
        return [freeze(item) for item in value]
    if type(value) is dict:
        return {key: freeze(item) for key, item in value.items()}
    return value


class FrozenMapping(Mapping[str, Any]):
    """A mapping that cannot be changed, its arrays read-only; equal to a dict of the same items.

    Examples
    --------
    >>> from pysoftcorr.core.frozen import FrozenMapping
    >>> FrozenMapping({"ra": "RA"}) == {"ra": "RA"}
    True
    """

    __slots__ = ("_advice", "_items")
    _advice: str
    _items: dict[str, Any]

    def __init__(self, items: Mapping[str, Any], advice: str = "") -> None:
        object.__setattr__(self, "_items", {key: freeze(item) for key, item in items.items()})
        object.__setattr__(self, "_advice", advice)

    def __getitem__(self, key: str) -> Any:
        value = self._items[key]
        # A masked array could let go of its mask in place: hand out another each time.
        return value.view() if isinstance(value, np.ma.MaskedArray) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> Any:
        return type(self), (self._items, self._advice)

    def __copy__(self) -> FrozenMapping:
        return self

    def __deepcopy__(self, memo: Any) -> FrozenMapping:
        return self

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError(f"this mapping is read-only{'; ' * bool(self._advice)}{self._advice}")

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _refuse


class Frozen:
    """Base of objects that never change: a copy is the object itself, a pickled one is read-only.

    Without it a deep copy or an unpickled object would have writable arrays, and what had been
    computed from them once would go on being used.
    """

    def __copy__(self: Self) -> Self:
        return self

    def __deepcopy__(self: Self, memo: Any) -> Self:
        return self

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update({key: freeze(value) for key, value in state.items()})
