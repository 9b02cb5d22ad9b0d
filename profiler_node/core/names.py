"""Values of messages as names: of categories, of segments, and in the names of features."""

import re
from typing import Any

import numpy as np

LONGEST_NAME = 64  # characters
OTHER = 'other'  # what all are called that are too many to be named each
LABEL_COUNT = 'detections/count'  # before a slash and a label: how many there are in a message
_UNPRINTABLE = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def text_of(value: Any) -> str:
    """Return a value as text, '' for none; numbers of an array, as of a UUID, in hexadecimal."""
    if isinstance(value, str):
        return value
    if value is None:
        return ''
    if isinstance(value, np.ndarray):
        return value[:LONGEST_NAME].tobytes().hex()
    return str(value).lower()  # true and false, as parameters and YAML write them


def name_of(text: str) -> str:
    """Return text as it can be part of a name: not long, and without control characters."""
    return _UNPRINTABLE.sub('\ufffd', text[:LONGEST_NAME])
