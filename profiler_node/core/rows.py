"""Messages of a fixed layout: numbers alone, after a header or none, as Imu, Twist or Float64.

Their numbers are always at the same places, so that they can be kept as bytes and read by NumPy, a
block of messages at once: making an object of each would cost more than profiling it.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import FieldDesc
from rosbags.typesys.base import normalize_fieldname
from rosbags.typesys.store import Typestore

from profiler_node.core.config import NS_PER_S
from profiler_node.core.decode import decoder_for, type_of
from profiler_node.core.errors import DecodeError
from profiler_node.core.paths import Leaf

_BODY = 4  # where the fields begin, after the encapsulation, and alignment counts from
_ALIGNMENT = 8  # the largest
_PADDING = 3  # bytes that may follow
_LONGEST_ARRAY = 4096
_TYPES = {
    **dict.fromkeys(('bool', 'byte', 'char', 'uint8'), 'u1'),
    **{'uint16': 'u2', 'uint32': 'u4', 'uint64': 'u8'},
    **{'int8': 'i1', 'int16': 'i2', 'int32': 'i4', 'int64': 'i8'},
    **{'float32': 'f4', 'float64': 'f8'},
}

ReadColumn = Callable[[NDArray[Any]], NDArray[np.float64]]
"""Takes rows, (N,) structured; returns (N,) of numbers, or (N, M) of arrays."""


class _NotFixedError(Exception):
    """A field whose size depends on the message."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """A number at a dotted path, or an array of so many."""

    path: str
    type: str
    length: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of one message: layout.columns read them from data as an array of dtype."""

    layout: 'RowLayout'
    dtype: 'np.dtype[Any]'
    data: bytes


class RowLayout:
    """Where the numbers of the messages of one type are. columns: what reads each, by name."""

    def __init__(
        self,
        message_type: str,
        store: Typestore,
        slots: Sequence[_Slot],
        columns: Mapping[str, ReadColumn],
        *,
        has_header: bool,
    ) -> None:
        self.columns = columns
        self._decode = decoder_for(message_type, store)
        self._has_header = has_header
        # By encapsulation: the header up to the frame's text, and the numbers by what they follow.
        self._kinds = {
            bytes([0, little]): (
                struct.Struct(f'{order}iII'),
                [_dtype_at(offset, slots, order) for offset in range(_ALIGNMENT)],
            )
            for little, order in enumerate('><')
        }

    def read(self, data: memoryview) -> tuple[int | None, str | None, Row]:
        """Return stamp [ns] and frame, None without a header, and the numbers of a message.

        Raises DecodeError.
        """
        try:
            head, dtypes = self._kinds[bytes(data[:2])]
            stamp_ns = frame_id = None
            start = _BODY
            if self._has_header:
                seconds, nanoseconds, length = head.unpack_from(data, _BODY)
                stamp_ns = seconds * NS_PER_S + nanoseconds
                text = bytes(data[start + head.size : start + head.size + length])
                start += head.size + length
                frame_id = text[:-1].decode()
        except (KeyError, struct.error, UnicodeDecodeError):
            raise self._error(data) from None
        dtype = dtypes[(start - _BODY) % _ALIGNMENT]
        end = start + dtype.itemsize
        if not end <= len(data) <= end + _PADDING or (self._has_header and text[-1:] != b'\0'):
            raise self._error(data)
        return stamp_ns, frame_id, Row(self, dtype, bytes(data[start:end]))

    def _error(self, data: memoryview) -> DecodeError:
        """Return what is wrong with data."""
        try:
            self._decode(data)
        except DecodeError as error:
            return error
        return DecodeError('malformed', 'the message is not of the layout of its type')


def row_layout(
    message_type: str, store: Typestore, leaves: Mapping[str, Leaf], *, has_header: bool
) -> RowLayout | None:
    """Return the layout of messages of a type, None where it is not fixed.

    leaves: which of the numbers are wanted, by name. has_header: whether they begin with one.
    """
    fields = store.fielddefs[message_type][1]
    try:
        slots = list(_slots('', fields[has_header:], store))
    except _NotFixedError:
        return None
    if not slots:
        return None
    if not all(_paths_of(leaf) <= {slot.path for slot in slots} for leaf in leaves.values()):
        return None  # as of a field of the header
    booleans = {slot.path for slot in slots if slot.type == 'bool'}
    columns = {name: _column(leaf, booleans) for name, leaf in leaves.items()}
    return RowLayout(message_type, store, slots, columns, has_header=has_header)


def _slots(path: str, fields: Sequence[tuple[str, FieldDesc]], store: Typestore) -> Iterator[_Slot]:
    """Yield the numbers of fields in order. Raises _NotFixedError."""
    for name, description in fields:
        below = f'{path}.{normalize_fieldname(name)}'.lstrip('.')
        is_array, base, is_message = type_of(description)
        length = description[1][1] if description[0] == Nodetype.ARRAY else None
        if is_message and not is_array:
            yield from _slots(below, store.fielddefs[base][1], store)
        elif base not in _TYPES or (is_array and not (length and length <= _LONGEST_ARRAY)):
            raise _NotFixedError
        else:
            yield _Slot(below, base, length)


def _dtype_at(offset: int, slots: Sequence[_Slot], order: str) -> 'np.dtype[Any]':
    """Return the type of slots that follow offset bytes of the message's body."""
    end = offset
    offsets, formats = [], []
    for slot in slots:
        number = np.dtype(f'{order}{_TYPES[slot.type]}')
        end += -end % number.itemsize
        offsets.append(end - offset)
        formats.append((number, slot.length) if slot.length else number)
        end += number.itemsize * (slot.length or 1)
    names = [slot.path for slot in slots]
    return np.dtype(
        {'names': names, 'formats': formats, 'offsets': offsets, 'itemsize': end - offset}
    )


def _paths_of(leaf: Leaf) -> set[str]:
    """Return where the numbers of a leaf are."""
    if leaf.kind == 'time':
        return {f'{leaf.attribute}.sec', f'{leaf.attribute}.nanosec'}
    return {leaf.hops[0][0] if leaf.hops else leaf.attribute}


def _column(leaf: Leaf, booleans: set[str]) -> ReadColumn:
    """Return what reads leaf of rows."""
    if leaf.kind == 'time':
        nanoseconds, seconds = sorted(_paths_of(leaf))
        return lambda rows: rows[seconds] + rows[nanoseconds] * 1e-9
    ((path, index),) = leaf.hops or ((leaf.attribute, None),)
    if path in booleans:  # any byte but 0 is true
        return lambda rows: (_part(rows[path], index) != 0).astype(np.float64)
    return lambda rows: _part(rows[path], index).astype(np.float64)


def _part(column: NDArray[Any], index: int | None) -> NDArray[Any]:
    return column if index is None else column[:, index]
