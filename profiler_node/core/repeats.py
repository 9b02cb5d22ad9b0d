"""Whether a message says the same as the one before, as of a sensor or a driver that is frozen."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from rosbags.typesys.store import Typestore

from profiler_node.core.decode import type_of

Payload = Callable[[memoryview], memoryview]

_BODY = 4  # where the fields begin, after the encapsulation
_STAMP = 8  # bytes
_COPIED = 2**16  # bytes
_FIRST_BLOCK = 4096
_BLOCK = 2**17  # bytes that stay in the cache

HEADER, TIME = 'std_msgs/msg/Header', 'builtin_interfaces/msg/Time'


class Repeats:
    """Compares each payload with the one before."""

    def __init__(self) -> None:
        self._before: bytes | memoryview | None = None

    def __call__(self, payload: memoryview) -> bool | None:
        """Return whether payload is that of the call before, None for the first.

        A large one is kept until the next call, not copied.
        """
        if len(payload) <= _COPIED:  # a view may keep a whole chunk of a recording
            return self.of_bytes(bytes(payload))
        before, self._before = self._before, payload
        return None if before is None else _equal(before, payload)

    def of_bytes(self, payload: bytes) -> bool | None:
        """Return the same of a payload that is small."""
        before, self._before = self._before, payload
        return None if before is None else before == payload


def _equal(one: bytes | memoryview, other: memoryview) -> bool:
    """Return whether the bytes are the same; as memoryviews it would take thirty times as long."""
    if len(one) != len(other):
        return False
    # What is new differs near the start most of the time, and the rest need not be read.
    starts = (0, *range(_FIRST_BLOCK, len(one), _BLOCK))
    for start, end in pairwise((*starts, len(one))):
        block = np.frombuffer(one[start:end], np.uint8)
        if not np.array_equal(block, np.frombuffer(other[start:end], np.uint8)):
            return False
    return True


def payload_of(message_type: str, store: Typestore, *, has_stamp: bool) -> Payload | None:
    """Return what takes the payload out of a message that can be decoded.

    That is all of it but the header, or the stamp, that it begins with; a frame of another length
    may change the bytes that fill up the next field. None where the header or stamp is elsewhere:
    then messages always differ.
    """
    if not has_stamp:
        return lambda data: data[_BODY:]
    (_, first), *_ = store.fielddefs[message_type][1]
    _, base, _ = type_of(first)
    if base == HEADER:
        return _after_header
    if base == TIME:
        return lambda data: data[_BODY + _STAMP :]
    return None


def _after_header(data: memoryview) -> memoryview:
    text = _BODY + _STAMP + 4
    length = int.from_bytes(data[text - 4 : text], 'little' if data[1] else 'big')
    return data[text + length :]
