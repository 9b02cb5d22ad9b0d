"""Profiles to edge_profiler/msg/Profile, and that to spool entries."""

from edge_profiler.msg import FeatureSummary
from edge_profiler.msg import Profile as ProfileMessage

from profiler_node.bridge.spool import Entry
from profiler_node.core.profile import Feature, NumericFeature, Profile, unit_of
from profiler_node.wire.codec import PAYLOAD_TYPE, encode


def profile_message(profile: Profile) -> ProfileMessage:
    """Return the message that carries profile: a summary and the serialized whole."""
    source, counters = profile.source, profile.counters
    return ProfileMessage(
        robot_id=source.robot_id,
        stream=source.stream,
        segment=source.segment,
        epoch=profile.epoch,
        window_start_ns=profile.window_start_ns,
        window_end_ns=profile.window_end_ns,
        topic=source.topic,
        message_type=source.message_type,
        tags=[f'{key}={value}' for key, value in source.tags.items()],
        messages_seen=counters.seen,
        messages_decoded=counters.decoded,
        decode_errors=sum(counters.decode_errors.values()),
        late=counters.late,
        shed=counters.shed,
        lost=counters.lost,
        interruptions=counters.interruptions,
        features=[_summary(name, feature) for name, feature in profile.features.items()],
        payload_type=PAYLOAD_TYPE,
        payload=encode(profile),
    )


def spool_entry(message: ProfileMessage) -> Entry:
    """Return what the bridge keeps of a profile message; the payload stays closed."""
    return Entry(
        robot_id=message.robot_id,
        stream=message.stream,
        segment=message.segment,
        epoch=message.epoch,
        window_start_ns=message.window_start_ns,
        window_end_ns=message.window_end_ns,
        payload=bytes(message.payload),
        source='\n'.join((message.topic, message.message_type, *message.tags)),
        urgent=message.urgent,
    )


def _summary(name: str, feature: Feature) -> FeatureSummary:
    summary = FeatureSummary(
        name=name, kind=feature.kind, unit=unit_of(name), missing=feature.missing
    )
    if not isinstance(feature, NumericFeature):
        summary.count = feature.count
        summary.distinct = feature.distinct
        summary.top = next((value for value, _ in feature.top(1)), '')
        return summary
    moments = feature.moments
    summary.count = moments.count
    if moments.count:
        summary.min, summary.max = moments.min, moments.max
        summary.mean, summary.stddev = moments.mean, moments.stddev
        summary.p05, summary.p50, summary.p95 = feature.quantiles((0.05, 0.5, 0.95))
    return summary
