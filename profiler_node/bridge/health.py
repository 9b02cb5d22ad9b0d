"""How the bridge is doing, for /diagnostics."""

import time
from collections.abc import Mapping

from profiler_node.bridge.config import SpoolConfig
from profiler_node.bridge.intake import Intake
from profiler_node.bridge.uploader import Uploader
from profiler_node.health import Level, Status

_NS_PER_S = 1_000_000_000
_RECENT_S = 3_600.0


def spool_status(intake: Intake, config: SpoolConfig) -> Status:
    """Return how profiles wait on the disk."""
    backlog, now_s = intake.backlog, time.monotonic()
    lost = sum(backlog.dropped.values())
    level, message = Level.OK, f'{backlog.profiles} profile(s) wait'
    if intake.error:
        level, message = Level.ERROR, f'profiles wait in memory: {intake.error}'
    elif intake.degraded_s is not None and now_s - intake.degraded_s < _RECENT_S:
        level = Level.WARN
        message = f'short of room: {backlog.merged} profile(s) merged into others, {lost} lost'
    oldest_ns = backlog.oldest_ns
    age_s = None if oldest_ns is None else (time.time_ns() - oldest_ns) / _NS_PER_S
    values: Mapping[str, object] = {
        'backlog [profiles]': backlog.profiles,
        'backlog [batches]': backlog.batches,
        'used [bytes]': backlog.used_bytes,
        'cap [bytes]': config.max_bytes,
        'oldest [s]': '' if age_s is None else f'{age_s:.0f}',
        'in memory [profiles]': intake.waiting,
        'taken [profiles]': intake.taken,
        'duplicates [profiles]': intake.duplicates,
        'merged [profiles]': backlog.merged,
        'refused by the store [batches]': backlog.refused,
        **{f'dropped, {reason} [profiles]': count for reason, count in backlog.dropped.items()},
        'last error': intake.error,
    }
    return Status('spool', level, message, values)


def upload_status(uploader: Uploader, store: str) -> Status:
    """Return how uploads are doing. store: its URL without credentials."""
    upload, now_s = uploader.upload, time.monotonic()
    level, message = Level.OK, 'waiting for something to upload'
    if upload.succeeded_s is not None:
        message = 'uploading'
    if upload.waits_for_budget:
        message = 'waiting for the budget of bytes'
    if uploader.metered:
        message = 'the link is metered: only what is urgent is sent'
    if not uploader.online:
        message = 'said to be offline'
    elif upload.failures:
        level = Level.ERROR if upload.error_is_lasting else Level.WARN
        message = upload.error
    values: Mapping[str, object] = {
        'store': store,
        'sent [profiles]': upload.sent_profiles,
        'sent [objects]': upload.sent_objects,
        'sent [bytes]': upload.sent_bytes,
        'last success [s ago]': _seconds(upload.succeeded_s and now_s - upload.succeeded_s),
        'next try [s]': _seconds(upload.next_try_s and max(upload.next_try_s - now_s, 0.0)),
        'failures in a row': upload.failures,
        'last error': upload.error,
        'budget left today [bytes]': 'no limit' if upload.left_today is None else upload.left_today,
        'metered': uploader.metered,
        'online': uploader.online,
    }
    return Status('upload', level, message, values)


def _seconds(value: float | None) -> str:
    return '' if value is None else f'{value:.1f}'
