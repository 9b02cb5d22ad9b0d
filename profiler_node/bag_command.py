"""edge-profiler bag: recordings to profiles."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from profiler_node.bags import Channel, Moment, Plan, StreamCount
from profiler_node.core.config import NS_PER_S, StreamConfig
from profiler_node.fleet.select import time_of
from profiler_node.fleet.show import printable, utc
from profiler_node.mappings import MappingError, all_mappings
from profiler_node.offline import Outcome, Report, profile_all
from profiler_node.profiler_config import STREAM_DEFAULTS, ProfilerConfig
from profiler_node.recordings.recording import looks_like_recording
from profiler_node.settings_file import SettingsError, plan_of, resolved
from profiler_node.stores import StoreUrlError, open_store

FAILED, USAGE, DAMAGED = 1, 2, 3

_TIMEOUT_S = 30.0
_MOST_PROBLEMS = 3  # of one recording, each said in full
_DESCRIPTION = """
Profile recordings of ROS 2 (MCAP or sqlite3; files, or folders with all their parts) and ROS 1,
as the live node would have. Without --config each topic is a stream, named after it. Damaged and
unfinished recordings are read as far as possible. The summary is printed; --out keeps the profiles.
"""
_EPILOG = """
TIME is +S, in seconds after the first message of a recording, or an ISO time, as
2024-05-01T12:00:00Z, which is UTC unless it says otherwise; of the times of receipt.
A profile is identified by robot, stream, segment, epoch and start of its window. Unless --epoch
says otherwise, the epoch is a digest of the files, --start and --end, and the settings of window,
sketch, segment and stream: a repeated run adds objects to a store, but nothing to what is read from
it, --topic, --tag and another name of the file change nothing; a part, other settings, or a
recording that was repaired, compressed or has grown are counted beside what is there.
Exit status: 0, 1: an error, or nothing could be read of a recording, 2: wrong arguments,
3: a recording is damaged, and was read as far as possible, or a file beside recordings is none.
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    verb.description, verb.epilog = _DESCRIPTION, _EPILOG
    verb.add_argument('bags', nargs='+', type=Path, metavar='BAG', help='file or folder')
    verb.add_argument('--config', type=Path, metavar='FILE', help="the live node's parameters")
    verb.add_argument('--namespace', default='', metavar='NS', help='of the live node')
    verb.add_argument('--window', type=float, metavar='S', help='length of a window, default 60')
    verb.add_argument(
        '--topic',
        action='append',
        default=[],
        metavar='[NAME=]TOPIC',
        help='these topics alone; NAME: of the stream, whose settings in FILE are then taken',
    )
    verb.add_argument('--start', type=_moment, metavar='TIME', help='messages from then on')
    verb.add_argument('--end', type=_moment, metavar='TIME', help='messages before that')
    verb.add_argument('--out', default='', metavar='STORE', help='folder or URL for the profiles')
    verb.add_argument('--robot-id', metavar='NAME', help='default: the name of this machine')
    verb.add_argument(
        '--tag',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='where the data comes from; may be repeated',
    )
    verb.add_argument('--epoch', type=_epoch, metavar='N', help="0: as a live node's first run")
    cores = len(os.sched_getaffinity(0))
    verb.add_argument(
        '--jobs',
        type=_jobs,
        default=cores,
        metavar='N',
        help=f'recordings at a time, default {cores}, the cores of this machine',
    )


def _moment(text: str) -> Moment:
    try:
        if text.startswith('+'):
            return Moment(round(float(text) * NS_PER_S), relative=True)
        return Moment(time_of(text))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f'{text!r} is neither +S nor an ISO time') from error


def _epoch(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f'{text!r} is not in [0, 2**32)')
    return int(text)


def _jobs(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r} is not 1 or more')
    return int(text)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Profile recordings, print what became of them, and return the exit status."""
    try:
        plan = _plan(arguments)
        if arguments.out:
            open_store(arguments.out, _TIMEOUT_S, create=True)
        all_mappings(plan.detections_file)
    except (SettingsError, MappingError, StoreUrlError, ValueError) as error:
        print(f'edge-profiler: {error}', file=sys.stderr)
        return USAGE
    start = time.perf_counter()
    with _ended_by_term(), _progress(arguments.bags) as report:
        outcomes = profile_all(arguments.bags, plan, arguments.out, arguments.jobs, report)
    seconds = time.perf_counter() - start
    for outcome in outcomes:
        _print_outcome(outcome, console)
    _print_total(outcomes, seconds, arguments.out, console)
    failed = [outcome for outcome in outcomes if outcome.error]
    if len(failed) == len(outcomes) or not all(map(_is_no_recording, failed)):
        return FAILED
    return DAMAGED if failed or any(outcome.problems for outcome in outcomes) else 0


def _is_no_recording(outcome: Outcome) -> bool:
    """Whether it is another file, as of all in a folder: by its name and what is in it."""
    return outcome.path.is_file() and not looks_like_recording(outcome.path)


def _plan(arguments: argparse.Namespace) -> Plan:
    """Return what is to be done. Raises ValueError."""
    plan = plan_of(arguments.config, arguments.namespace) if arguments.config else Plan()
    tags = ProfilerConfig(tags=tuple(arguments.tag)).tag_map
    plan = replace(
        plan,
        robot_id=plan.robot_id if arguments.robot_id is None else arguments.robot_id,
        tags={**plan.tags, **tags},
        start=arguments.start,
        end=arguments.end,
        epoch=arguments.epoch,
    )
    if arguments.window is not None:
        plan = replace(plan, window=replace(plan.window, length_s=arguments.window))
    if arguments.topic:
        known = plan.channels or ()
        chosen = tuple(_channel(text, known, arguments.namespace) for text in arguments.topic)
        plan = replace(plan, channels=chosen, optional=False)
    return plan


def _channel(text: str, known: Sequence[Channel], namespace: str) -> Channel:
    """Return the stream that an argument of --topic names."""
    name, equals, topic = text.rpartition('=')
    literal, topic = topic, resolved(topic, namespace)
    for channel in known:
        if name == channel.name or (not equals and topic == channel.topic):
            return channel._replace(topic=topic, literal=literal)
    name = name or topic.strip('/')
    return Channel(name, topic, STREAM_DEFAULTS.get(name, StreamConfig()), literal)


@contextmanager
def _ended_by_term() -> Iterator[None]:
    """Let SIGTERM end this process as an exception would, so that others end with it."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress(bags: Sequence[Path]) -> Iterator[Report]:
    """Show on a terminal how far it is; yield what takes the reports."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    read = dict.fromkeys(range(len(bags)), (0, 0))
    start = time.monotonic()
    columns = (
        *(TextColumn('{task.description}'), BarColumn(), TextColumn('{task.percentage:3.0f} %')),
        *(TextColumn('{task.fields[rate]}'), TimeRemainingColumn()),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task('profiling', total=max(1, sum(map(_size, bags))), rate='')

        def report(number: int, size_bytes: int, messages: int) -> None:
            read[number] = size_bytes, messages
            sizes, counts = map(sum, zip(*read.values(), strict=True))
            seconds = time.monotonic() - start
            rate = f'{sizes / 1e6 / seconds:,.0f} MB/s {counts / seconds:,.0f} messages/s'
            progress.update(task, completed=sizes, rate=rate)

        yield report


def _size(path: Path) -> int:
    try:
        files = path.iterdir() if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files if file.is_file())
    except OSError:
        return 0  # it is said when it is read


def _print_outcome(outcome: Outcome, console: Console) -> None:
    """Print what became of a recording, and what is wrong with it on stderr."""
    path = printable(str(outcome.path))
    for warning in outcome.warnings:
        print(f'edge-profiler: {path}: {printable(warning)}', file=sys.stderr)
    if outcome.error:
        print(f'edge-profiler: {path}: {printable(outcome.error)}', file=sys.stderr)
        return
    if outcome.problems:
        more = len(outcome.problems) - _MOST_PROBLEMS
        parts = outcome.problems[:_MOST_PROBLEMS] + ([f'and {more} more'] if more > 0 else [])
        text = f'{"; ".join(parts)}; read {outcome.messages} messages, the last of '
        text = f'{text}{utc(outcome.last_ns)} UTC'
        print(f'edge-profiler: {path}: {printable(text)}', file=sys.stderr)
    table = Table(box=None, pad_edge=False, header_style='dim', title_justify='left')
    for name in ('topic', 'type', 'messages', 'decoded', 'windows', 's', 'ms each', 'MB/s', ''):
        table.add_column(name, justify='left' if name in {'topic', 'type', ''} else 'right')
    for count in outcome.counts:
        table.add_row(*_row(count))
    console.print(f'{path}: {_speed([outcome], outcome.seconds)}')
    console.print(table)
    console.print()


def _row(count: StreamCount) -> Iterator[str]:
    is_named = count.name != count.topic.lstrip('/')
    yield printable(f'{count.name}={count.topic}' if is_named else count.topic)
    yield printable(count.message_type)
    yield str(count.messages)
    yield str(count.decoded)
    yield str(count.windows)
    yield f'{(count.last_ns - count.first_ns) / NS_PER_S:.1f}'
    yield f'{count.cpu_ns / 1e6 / count.messages:.3f}' if count.messages else '-'
    yield f'{count.size_bytes * 1e3 / count.cpu_ns:.0f}' if count.cpu_ns else '-'
    yield ', '.join(f'{printable(reason)} {n}' for reason, n in sorted(count.errors.items()) if n)


def _speed(outcomes: Sequence[Outcome], seconds: float) -> str:
    counts = [count for outcome in outcomes for count in outcome.counts]
    messages = sum(count.messages for count in counts)
    size = sum(count.size_bytes for count in counts) / 1e6
    return (
        f'{messages} messages, {size:.1f} MB in {seconds:.2f} s '
        f'({size / seconds:.0f} MB/s, {messages / seconds:.0f} messages/s)'
    )


def _print_total(outcomes: Sequence[Outcome], seconds: float, store: str, console: Console) -> None:
    windows = sum(count.windows for outcome in outcomes for count in outcome.counts)
    objects = sum(outcome.objects for outcome in outcomes)
    whither = f'in {objects} object(s) in {store}' if store else 'not kept: --out STORE keeps them'
    console.print(f'{len(outcomes)} recording(s): {_speed(outcomes, seconds)}')
    console.print(f'{windows} profile(s), {whither}')
