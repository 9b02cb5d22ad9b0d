"""RVL, the lossless depth compression of compressed_depth_image_transport (Wilson 2017).

Numbers are groups of 3 bits, the lowest first, each in a nibble whose top bit says that another
group follows; eight nibbles are a 32-bit word, the first one on top. An image is pairs of runs: a
number of zeros, a number of other pixels, then the zigzag-coded difference of each of these from
the one before.
"""

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.errors import DecodeError

_MOST_GROUPS = 11  # of 3 bits in a 32-bit number


def decode_rvl(data: NDArray[np.uint8], pixels: int) -> NDArray[np.uint16]:
    """Return the pixels, (pixels,) uint16, of RVL data without its size header.

    Raises DecodeError where data ends too early or does not add up to so many pixels.
    """
    numbers = _numbers(data)
    image = np.zeros(pixels, dtype=np.uint16)
    runs: list[tuple[int, int, int]] = []  # where in image, where in numbers, how many
    at = done = 0
    while done < pixels:
        if at + 1 >= numbers.size:
            raise DecodeError('short_data', f'RVL data ends after {done} of {pixels} pixels')
        zeros, others = int(numbers[at]), int(numbers[at + 1])
        done, at = done + zeros, at + 2
        if done + others > pixels or at + others > numbers.size or not zeros + others:
            raise DecodeError('bad_data', f'RVL run of {zeros} + {others} pixels at {done}')
        runs.append((done, at, others))
        done, at = done + others, at + others
    coded = np.concatenate([numbers[:0], *(numbers[at : at + n] for _, at, n in runs)])
    values = np.cumsum(coded >> 1 ^ -(coded & 1)).astype(np.uint16)  # wraps as 16 bits do
    taken = 0
    for start, _, count in runs:
        image[start : start + count] = values[taken : taken + count]
        taken += count
    return image


def _numbers(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return all numbers in data."""
    words = np.frombuffer(data[: data.size // 4 * 4].tobytes(), '<u4').astype('>u4')
    nibbles = np.empty(words.size * 8, dtype=np.int64)
    pairs = words.view(np.uint8)
    nibbles[0::2], nibbles[1::2] = pairs >> 4, pairs & 15
    last = np.flatnonzero(nibbles < 8)  # of each number
    if not last.size:
        return np.empty(0, dtype=np.int64)
    first = np.concatenate([[0], last[:-1] + 1])
    lengths = last - first + 1
    if int(lengths.max()) > _MOST_GROUPS:
        raise DecodeError('bad_data', f'RVL number of {lengths.max()} groups')
    place = np.arange(last[-1] + 1) - np.repeat(first, lengths)
    return np.add.reduceat((nibbles[: last[-1] + 1] & 7) << 3 * place, first)
