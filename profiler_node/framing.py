"""Payloads one behind the other, each after its length as a varint: protobuf's delimited format."""

from collections.abc import Iterable


def delimited(payloads: Iterable[bytes]) -> bytes:
    """Return payloads with their lengths."""
    return b''.join(part for payload in payloads for part in (_varint(len(payload)), payload))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
