"""Messages into a stream, with what that costs: the one way in, live and from a recording."""

import logging
import resource
import sys
import time

from profiler_node.core.profile import Profile
from profiler_node.core.segments import Segments
from profiler_node.core.stream import Stream

_RSS_UNIT = 1 if sys.platform == 'darwin' else 1024

_log = logging.getLogger(__name__)


def peak_rss_bytes() -> int:
    """Return the most memory that the process has held so far [bytes]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


def feed(
    stream: Stream, data: memoryview, receive_ns: int, segment: str = '', lost: int | None = None
) -> tuple[list[Profile], int]:
    """Add one serialized message to stream; return the profiles it closed, and its CPU time [ns].

    The arguments are those of Stream.update.
    """
    before_ns = time.thread_time_ns()
    profiles = stream.update(data, receive_ns, segment, lost)
    peak = peak_rss_bytes()
    cpu_ns = time.thread_time_ns() - before_ns
    stream.windows.count_cost(cpu_ns, peak)
    return profiles, cpu_ns


def change_segment(segments: Segments, data: memoryview) -> None:
    """Take the segment from one serialized message, and say when that begins to be impossible."""
    could_be_read = not segments.problem
    segments.update(data)
    if could_be_read and segments.problem:
        _log.warning('the segment stays %r: %s', segments.current, segments.problem)
