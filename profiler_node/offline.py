"""Recordings to profiles in a store: each in a process of its own, as many at once as wanted."""

import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import cv2

from profiler_node.bags import Pass, Plan, StreamCount
from profiler_node.bridge.errors import TransportError
from profiler_node.bridge.transport import sender
from profiler_node.memory import keep_freed_memory
from profiler_node.objects import UPLOAD_TIMEOUT_S, ObjectWriter
from profiler_node.recordings.message import RecordingError
from profiler_node.recordings.recording import Recording
from profiler_node.wire.codec import encode

_REPORT_S = 0.1

Report = Callable[[int, int, int], None]
"""Takes the number of a recording, and how many bytes and messages of it have been read."""

_log = logging.getLogger(__name__)

_reports: Any = None  # the queue of a process that works for another


@dataclass
class Outcome:
    """What became of a recording.

    error: why nothing of it could be used. problems: what is damaged. warnings: what was logged.
    """

    path: Path
    counts: list[StreamCount] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: str = ''
    seconds: float = 0.0
    objects: int = 0

    @property
    def messages(self) -> int:
        """How many messages were profiled."""
        return sum(count.messages for count in self.counts)

    @property
    def last_ns(self) -> int:
        """When the last message was received, 0 without one."""
        return max((count.last_ns for count in self.counts), default=0)


class _Warnings(logging.Handler):
    """Keeps what is logged, to be said when it does not disturb."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.texts[record.getMessage()] = None


@contextmanager
def _warnings_of(outcome: Outcome) -> Iterator[None]:
    warnings = _Warnings()
    logger = logging.getLogger('profiler_node')
    logger.addHandler(warnings)
    try:
        yield
    finally:
        logger.removeHandler(warnings)
        outcome.warnings = list(warnings.texts)


def profile_one(number: int, path: Path, plan: Plan, store: str, report: Report) -> Outcome:
    """Profile a recording into the store at a URL, '' for none. What goes wrong is in the outcome.

    number: for report.
    """
    outcome = Outcome(path)
    start = time.perf_counter()
    try:
        with _warnings_of(outcome), Recording(path) as recording:
            _profile(recording, plan, store, outcome, partial(report, number))
    except (RecordingError, TransportError, ValueError, OSError) as error:
        outcome.error = str(error)
    except Exception as error:  # a file may hold what nobody thought of; the others are to be read
        outcome.error = f'{type(error).__name__}: {error}'
        _log.exception('%s', path)
    outcome.seconds = time.perf_counter() - start
    return outcome


def _profile(
    recording: Recording,
    plan: Plan,
    store: str,
    outcome: Outcome,
    report: Callable[[int, int], None],
) -> None:
    plan = replace(plan, robot_id=plan.robot_id or socket.gethostname())
    objects = ObjectWriter(plan.robot_id, sender(store, UPLOAD_TIMEOUT_S)) if store else None
    taken = Pass(recording, plan)
    outcome.counts = taken.counts
    due = time.monotonic()

    def tell() -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            report(recording.read_bytes, outcome.messages)
            due = now + _REPORT_S

    for profile in taken.profiles(tell):
        if objects:
            objects.add(encode(profile))
    if objects:
        objects.flush()
        outcome.objects = objects.written
    outcome.problems = recording.problems
    report(recording.size_bytes, outcome.messages)
    if recording.problems and not outcome.messages:
        raise RecordingError('; '.join(recording.problems))


def profile_all(
    paths: Sequence[Path], plan: Plan, store: str, jobs: int, report: Report
) -> list[Outcome]:
    """Profile recordings, up to jobs at a time, and return what became of each.

    Those that were not done when a process was ended from outside are profiled once more, one at a
    time and each in a process of its own: that one of them needs more memory than there is does not
    end the others.
    """
    if min(jobs, len(paths)) == 1:
        _make_ready()
        return [profile_one(n, path, plan, store, report) for n, path in enumerate(paths)]
    outcomes = _profile_at_once(dict(enumerate(paths)), plan, store, jobs, report)
    for number, path in enumerate(paths):
        if number not in outcomes:
            outcomes |= _profile_at_once({number: path}, plan, store, 1, report)
    ended = 'a process was ended from outside: short of memory?'
    return [outcomes.get(n) or Outcome(path, error=ended) for n, path in enumerate(paths)]


def _profile_at_once(
    paths: Mapping[int, Path], plan: Plan, store: str, jobs: int, report: Report
) -> dict[int, Outcome]:
    """Return what became of each recording whose process was not ended from outside."""
    context = multiprocessing.get_context('spawn')
    reports = context.Queue()
    pool = ProcessPoolExecutor(min(jobs, len(paths)), context, _begin, (reports,))
    outcomes = {}
    try:
        futures = {}
        with suppress(BrokenProcessPool):
            for number, path in paths.items():
                futures[number] = pool.submit(_profile_here, number, path, plan, store)
        while wait(futures.values(), timeout=0).not_done:
            with suppress(Empty):
                report(*reports.get(timeout=_REPORT_S))
        for number, future in futures.items():
            with suppress(BrokenProcessPool):
                outcomes[number] = future.result()
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return outcomes


def _make_ready() -> None:
    cv2.setNumThreads(1)  # as on the robot: more take longer in all
    keep_freed_memory()


def _begin(reports: Any) -> None:
    """Make a new process ready."""
    global _reports  # noqa: PLW0603 (a process has one)
    _reports = reports
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process tells what that means
    _make_ready()


def _profile_here(number: int, path: Path, plan: Plan, store: str) -> Outcome:
    return profile_one(number, path, plan, store, lambda *report: _reports.put(report))
