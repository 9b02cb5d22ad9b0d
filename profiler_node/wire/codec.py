"""Profiles to bytes and back; the only place that knows protobuf.

The messages are built at run time from a descriptor set that the build compiles from profile.proto.
Generated Python code would need a runtime at least as new as its compiler, and code from an old
compiler fails on a new runtime; a descriptor set works with protobuf 3.12 (Ubuntu 22.04) to the
newest.
"""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as ProtobufError

from profiler_node.core.moments import Moments
from profiler_node.core.profile import (
    CategoricalFeature,
    Counters,
    Feature,
    NumericFeature,
    NumericKind,
    Profile,
    Provenance,
    Source,
)

WIRE_VERSION = 1
PAYLOAD_TYPE = 'edge_profiler.v1.Profile'

_DIGEST_BYTES = 16
_SCALAR, _ELEMENTS, _CATEGORICAL = 1, 2, 3
_KINDS: dict[int, NumericKind] = {_SCALAR: 'scalar', _ELEMENTS: 'elements'}
_PLAIN_COUNTERS = (
    'seen', 'decoded', 'shed', 'late', 'lost', 'duplicate_stamps', 'stamp_regressions',
    'zero_stamps', 'foreign_stamps', 'stamp_gaps', 'cpu_ns', 'peak_rss_bytes', 'interruptions',
)  # fmt: skip


class WireError(ValueError):
    """Bytes that are no profile this version can read, or a profile that it cannot write."""


def _load_message_class() -> Any:
    path = Path(__file__).with_name('profile.binpb')
    try:
        descriptors = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    except FileNotFoundError as error:
        raise ImportError(f'{path} is missing: the package has not been built') from error
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors.file:
        pool.Add(file)
    descriptor = pool.FindMessageTypeByName(PAYLOAD_TYPE)
    if hasattr(message_factory, 'GetMessageClass'):
        return message_factory.GetMessageClass(descriptor)
    old: Any = message_factory.MessageFactory(pool)  # before protobuf 4.22
    return old.GetPrototype(descriptor)


_Message = _load_message_class()


def encode(profile: Profile) -> bytes:
    """Return the serialized profile; the same profile always gives the same bytes.

    Raises WireError where a number or a text is beyond what the format holds.
    """
    try:
        return bytes(_message_of(profile).SerializeToString())
    except ValueError as error:
        raise WireError(f'no {PAYLOAD_TYPE} holds this profile: {error}') from error


def _message_of(profile: Profile) -> Any:
    source, counters = profile.source, profile.counters
    message = _Message(
        wire_version=WIRE_VERSION,
        robot_id=source.robot_id,
        stream=source.stream,
        segment=source.segment,
        epoch=profile.epoch,
        window_start_ns=profile.window_start_ns,
        window_end_ns=profile.window_end_ns,
        topic=source.topic,
        message_type=source.message_type,
    )
    for key, value in sorted(source.tags.items()):
        message.tags.add(key=key, value=value)
    for name in _PLAIN_COUNTERS:
        setattr(message.counters, name, getattr(counters, name))
    for name, count in sorted(counters.decode_errors.items()):
        message.counters.decode_errors.add(name=name, count=count)
    for name, feature in sorted(profile.features.items()):
        message.features.add(name=name, **_feature_fields(feature, profile.window_start_ns))
    if provenance := profile.provenance:
        message.provenance.profiles = provenance.profiles
        message.provenance.robots = provenance.robots
        message.provenance.start_ns = provenance.start_ns
        message.provenance.end_ns = provenance.end_ns
        message.provenance.digest = provenance.digest.to_bytes(_DIGEST_BYTES, 'big')
    return message


def _feature_fields(feature: Feature, start_ns: int) -> dict[str, Any]:
    if isinstance(feature, CategoricalFeature):
        return {
            'kind': _CATEGORICAL,
            'count': feature.count,
            'missing': feature.missing,
            'hll': feature.hll,
            'frequent': feature.frequent,
        }
    moments = feature.moments
    return {
        'kind': _SCALAR if feature.kind == 'scalar' else _ELEMENTS,
        'count': moments.count,
        'missing': feature.missing,
        'pos_inf': feature.pos_inf,
        'neg_inf': feature.neg_inf,
        'mean': moments.mean,
        'm2': moments.m2,
        'min': moments.min,
        'max': moments.max,
        'min_stamp_offset_ns': moments.min_stamp_ns - start_ns if moments.count else 0,
        'max_stamp_offset_ns': moments.max_stamp_ns - start_ns if moments.count else 0,
        'kll': feature.kll,
    }


def decode(data: bytes) -> Profile:
    """Return the profile in data.

    Raises WireError for bytes that are no profile and for an unknown wire version. The sketches are
    opened when they are used.
    """
    try:
        message = _Message.FromString(data)
    except ProtobufError as error:
        raise WireError(f'{len(data)} bytes that are no {PAYLOAD_TYPE}: {error}') from error
    if message.wire_version != WIRE_VERSION:
        raise WireError(
            f'wire version {message.wire_version} is not supported; this release reads '
            f'version {WIRE_VERSION}'
        )
    return Profile(
        source=Source(
            robot_id=message.robot_id,
            stream=message.stream,
            topic=message.topic,
            message_type=message.message_type,
            tags=MappingProxyType({tag.key: tag.value for tag in message.tags}),
            segment=message.segment,
        ),
        epoch=message.epoch,
        window_start_ns=message.window_start_ns,
        window_end_ns=message.window_end_ns,
        counters=Counters(
            **{name: getattr(message.counters, name) for name in _PLAIN_COUNTERS},
            decode_errors=MappingProxyType(
                {reason.name: reason.count for reason in message.counters.decode_errors}
            ),
        ),
        features=MappingProxyType(
            {
                feature.name: _feature_of(feature, message.window_start_ns)
                for feature in message.features
            }
        ),
        provenance=_provenance_of(message),
    )


def _provenance_of(message: Any) -> Provenance | None:
    if not message.HasField('provenance'):
        return None
    fields = message.provenance
    digest = int.from_bytes(fields.digest[:_DIGEST_BYTES], 'big')
    return Provenance(fields.profiles, fields.robots, fields.start_ns, fields.end_ns, digest)


def _feature_of(message: Any, start_ns: int) -> Feature:
    if message.kind == _CATEGORICAL:
        return CategoricalFeature(message.count, message.hll, message.frequent, message.missing)
    if message.kind not in _KINDS:
        raise WireError(f'{message.name}: feature kind {message.kind} is not known')
    moments = Moments(
        count=message.count,
        mean=message.mean,
        m2=message.m2,
        min=message.min,
        max=message.max,
        min_stamp_ns=start_ns + message.min_stamp_offset_ns,
        max_stamp_ns=start_ns + message.max_stamp_offset_ns,
    )
    return NumericFeature(
        kind=_KINDS[message.kind],
        moments=moments if message.count else Moments(),
        kll=message.kll,
        missing=message.missing,
        pos_inf=message.pos_inf,
        neg_inf=message.neg_inf,
    )


def merge(payloads: Sequence[bytes]) -> bytes:
    """Return the profile of all the data behind payloads, one or more, serialized.

    Raises WireError, SketchError or ProfileError, all of them ValueError.
    """
    first, *others = map(decode, payloads)
    return encode(first.merged(*others))
