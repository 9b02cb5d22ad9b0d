"""RVL, the lossless depth compression of compressed_depth_image_transport (Wilson 2017).

Numbers are groups of 3 bits, the lowest first, each in a nibble whose top bit says that another
group follows; eight nibbles are a 32-bit word, the first one on top. An image is pairs of runs: a
number of zeros, a number of other pixels, then the zigzag-coded difference of each of these from
the one before.
"""

from array import array

import numpy as np
from numpy.typing import NDArray

from profiler_node.core.errors import DecodeError

_MOST_GROUPS = 10  # of a number: 30 bits, more than any image has pixels
_BLOCK = 2**18  # nibbles read at once, so that scratch memory does not grow with the message


def decode_rvl(data: NDArray[np.uint8], pixels: int) -> NDArray[np.uint16]:
    """Return the pixels, (pixels,) uint16, of RVL data without its size header.

    Raises DecodeError where data ends too early or does not add up to so many pixels.
    """
    numbers = _numbers(data)
    heads = np.array(_heads(numbers, pixels), dtype=np.int64)
    runs = np.stack([numbers[heads], numbers[heads + 1]], axis=1)
    is_difference = np.ones(int(heads[-1] + 2 + runs[-1, 1]), dtype=bool)
    is_difference[heads] = is_difference[heads + 1] = False
    coded = numbers[: is_difference.size][is_difference]
    differences = (coded >> 1 ^ -(coded & 1)).astype(np.uint16)
    image = np.zeros(pixels, dtype=np.uint16)
    is_set = np.repeat(np.resize([False, True], runs.size), runs.ravel())
    image[is_set] = np.cumsum(differences, dtype=np.uint16)  # wraps as 16 bits do
    return image


def _heads(numbers: NDArray[np.int32], pixels: int) -> 'array[int]':
    """Return where in numbers each pair of runs starts."""
    heads = array('q')
    at = done = 0
    while done < pixels:
        if at + 1 >= numbers.size:
            raise DecodeError('short_data', f'RVL data ends after {done} of {pixels} pixels')
        zeros, others = numbers.item(at), numbers.item(at + 1)
        heads.append(at)
        at, done = at + 2 + others, done + zeros + others
        if at > numbers.size:
            raise DecodeError('short_data', f'RVL data ends within {others} pixels')
        if done > pixels or not zeros + others:
            raise DecodeError('bad_data', f'RVL run of {zeros} + {others} pixels, up to {done}')
    return heads


def _numbers(data: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return all numbers in data, (N,); what follows the last whole one is left out."""
    packed = data[: data.size // 4 * 4].reshape(-1, 4)[:, ::-1].ravel()
    nibbles = np.stack([packed >> 4, packed & 15], axis=1).ravel()
    numbers = [np.empty(0, dtype=np.int32)]
    begin = 0
    while begin < nibbles.size:
        block = nibbles[begin : begin + _BLOCK]
        last = np.flatnonzero(block < 8)  # of each number
        first = np.concatenate([[0], last + 1])
        if int(np.diff(first, append=block.size).max()) > _MOST_GROUPS:
            raise DecodeError('bad_data', f'RVL number of more than {_MOST_GROUPS} groups')
        if not last.size:
            break
        place = np.arange(first[-1]) - np.repeat(first[:-1], np.diff(first))
        groups = (block[: first[-1]] & 7).astype(np.int64)
        numbers.append(np.add.reduceat(groups << 3 * place, first[:-1]).astype(np.int32))
        begin += int(first[-1])
    return np.concatenate(numbers)
