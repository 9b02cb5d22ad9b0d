"""The columns of pandas and Arrow frames, without importing either."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS, _INTEGERS, _TIMES = 'biuf', 'iu', 'mM'  # kinds of dtypes
_PER_S = {'s': 1, 'ms': 10**3, 'us': 10**6, 'ns': 10**9}
_MOST_NS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a frame. values: (N,) float64 or objects; missing: (N,) which of these are none.

    ns: (N,) what the values are as stamps, exactly; None where they are none, or beyond 64 bits.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    ns: NDArray[np.int64] | None = None


def columns_of(obj: Any) -> dict[str, Column]:
    """Return the columns of a frame, by name; none where obj is not a frame.

    Raises ValueError where two have one name.
    """
    module = type(obj).__module__.partition('.')[0]
    if module == 'pandas' and hasattr(obj, 'columns'):
        names = unrepeated(map(str, obj.columns))
        return {name: _pandas_column(obj.iloc[:, n]) for n, name in enumerate(names)}
    if module == 'pyarrow' and hasattr(obj, 'column_names'):
        names = unrepeated(obj.column_names)
        return dict(zip(names, map(_arrow_column, obj.columns), strict=True))
    return {}


def unrepeated(names: Iterable[str]) -> list[str]:
    """Return names. Raises ValueError where one is there twice."""
    counts = Counter(names)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise ValueError(f'more than one value is named {", ".join(map(repr, repeated))}')
    return list(counts)


def _pandas_column(series: Any) -> Column:
    missing = series.isna().to_numpy(dtype=bool)
    if series.dtype.kind in _NUMBERS:
        whole = series.dtype.kind in _INTEGERS and not missing.any()
        ns = _stamps_of(series.to_numpy(dtype=f'{series.dtype.kind}8')) if whole else None
        return Column(series.to_numpy(dtype=np.float64, na_value=np.nan), missing, ns)
    if series.dtype.kind in _TIMES:
        if hasattr(series.dtype, 'pyarrow_dtype'):
            return _arrow_column(series.array.__arrow_array__())
        unit = getattr(series.dt, 'unit', 'ns')  # before pandas 2 it always is
        return _times(series.to_numpy(dtype=f'{series.dtype.kind}8[{unit}]'), missing)
    return Column(series.to_numpy(dtype=object), missing)


def _arrow_column(column: Any) -> Column:
    values = np.asarray(column)
    missing = np.asarray(column.is_null())
    if values.dtype.kind in _TIMES:
        return _times(values, missing)
    if values.dtype.kind in _NUMBERS:
        ns = _stamps_of(values) if values.dtype.kind in _INTEGERS else None
        return Column(values.astype(np.float64), missing, ns)
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return Column(values, missing)


def _times(times: NDArray[Any], missing: NDArray[np.bool_]) -> Column:
    unit, step = np.datetime_data(times.dtype)
    if unit not in _PER_S or step != 1:  # days
        unit, times = 's', times.astype(f'{times.dtype.kind}8[s]')
    missing = missing | np.isnat(times)
    numbers = np.where(missing, 0, times.astype(np.int64))
    scale = _PER_S['ns'] // _PER_S[unit]
    fits = bool((np.abs(numbers) <= _MOST_NS // scale).all())
    seconds = np.where(missing, np.nan, numbers / _PER_S[unit])
    return Column(seconds, missing, numbers * scale if fits else None)


def _stamps_of(numbers: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return whole numbers as stamps, None where they are beyond 64 bits with a sign."""
    fits = bool((numbers <= numbers.dtype.type(min(_MOST_NS, np.iinfo(numbers.dtype).max))).all())
    return numbers.astype(np.int64) if fits else None


def column_stamps(columns: Mapping[str, Column], name: str) -> NDArray[np.int64]:
    """Return the stamps [ns] that a column holds."""
    if name not in columns:
        raise ValueError(f'there is no column {name!r}; there are {", ".join(columns)}')
    column = columns[name]
    if column.missing.any():
        raise ValueError(f'{name}: {int(column.missing.sum())} stamps are missing')
    if column.ns is None:
        raise ValueError(f'{name} holds neither times nor whole numbers of ns, of 64 bits')
    return column.ns
