"""The columns of pandas and Arrow frames, without importing either."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NUMBERS, _INTEGERS, _TIMES = 'biuf', 'iu', 'mM'  # kinds of dtypes
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a frame. values: (N,) float64 or objects; missing: (N,) which of these are none.

    ns: (N,) what the values are as stamps, exactly; None where they are none.
    """

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    ns: NDArray[np.int64] | None = None


def columns_of(obj: Any) -> dict[str, Column]:
    """Return the columns of a frame, by name; none where obj is not a frame."""
    module = type(obj).__module__.partition('.')[0]
    if module == 'pandas' and hasattr(obj, 'columns'):
        return {str(name): _pandas_column(obj[name]) for name in obj.columns}
    if module == 'pyarrow' and hasattr(obj, 'column_names'):
        names = zip(obj.column_names, obj.columns, strict=True)
        return {name: _arrow_column(column) for name, column in names}
    return {}


def _pandas_column(series: Any) -> Column:
    missing = series.isna().to_numpy(dtype=bool)
    if series.dtype.kind in _NUMBERS:
        whole = series.dtype.kind in _INTEGERS and not missing.any()
        ns = series.to_numpy(dtype=np.int64) if whole else None
        return Column(series.to_numpy(dtype=np.float64, na_value=np.nan), missing, ns)
    if series.dtype.kind in _TIMES:
        return _times(series.to_numpy(dtype=f'{series.dtype.kind}8[ns]'), missing)
    return Column(series.to_numpy(dtype=object), missing)


def _arrow_column(column: Any) -> Column:
    values = np.asarray(column)
    missing = np.asarray(column.is_null())
    if values.dtype.kind in _TIMES:
        return _times(values.astype(f'{values.dtype.kind}8[ns]'), missing)
    if values.dtype.kind in _NUMBERS:
        ns = values.astype(np.int64) if values.dtype.kind in _INTEGERS else None
        return Column(values.astype(np.float64), missing, ns)
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return Column(values, missing)


def _times(times: NDArray[Any], missing: NDArray[np.bool_]) -> Column:
    ns = times.astype(np.int64)
    return Column(np.where(missing, np.nan, ns / _NS_PER_S), missing, ns)


def column_stamps(columns: Mapping[str, Column], name: str) -> NDArray[np.int64]:
    """Return the stamps [ns] that a column holds."""
    if name not in columns:
        raise ValueError(f'there is no column {name!r}; there are {", ".join(columns)}')
    column = columns[name]
    if column.missing.any():
        raise ValueError(f'{name}: {int(column.missing.sum())} stamps are missing')
    if column.ns is None:
        raise ValueError(f'{name} holds neither times nor whole numbers of ns')
    return column.ns
