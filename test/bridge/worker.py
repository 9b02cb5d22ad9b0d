"""A bridge without ROS in a process of its own, which may be killed at any moment; see ledger.py.

    python worker.py '{"folder": "/tmp/robot", "url": "http://127.0.0.1:8080", "until": 100}'

Profile n is always the same, so that a new life can go on where the last has ended.
"""

import hashlib
import json
import logging
import os
import random
import resource
import secrets
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from profiler_node.bridge.config import BridgeConfig, SpoolConfig
from profiler_node.bridge.intake import Intake
from profiler_node.bridge.outgoing import Batch
from profiler_node.bridge.spool import Entry, Spool
from profiler_node.bridge.transport import Send, sender
from profiler_node.bridge.uploader import Uploader

MINUTE_NS = 60 * 10**9
STREAMS = 4
SPOOL, LEDGER, SENT = 'spool', 'ledger', 'sent'
CLOCK_STEPS_S = (0, 0, -3_600, 86_400, 400 * 86_400, -40 * 365 * 86_400)


@dataclass(frozen=True)
class Job:
    """What a worker does.

    until: take profiles up to this number, upload all, and end; None: go on until it is killed.
    size: bytes of each. urgent_every: one of so many is urgent. offered_again: how many of the last
    life's are offered once more, as by a publisher that keeps them. kill_at: 'after put 3' or 'sql
    COMMIT 3', the place and how often it is passed. file_bytes: a write that would make any file
    longer is cut there, and the next one kills. flaw: what is wrong with this bridge.
    """

    folder: str
    url: str
    robot: str = 'robot'
    until: int | None = None
    size: int = 300
    urgent_every: int = 7
    offered_again: int = 20
    most_waiting: int = 50
    kill_at: str = ''
    file_bytes: int = 0
    flaw: str = ''
    clock_steps: bool = False
    spool: dict[str, float] = field(default_factory=dict)
    upload: dict[str, float] = field(default_factory=dict)


class Killer:
    """Ends the process the hard way when it passes a place for the n-th time."""

    def __init__(self, kill_at: str) -> None:
        self._place, _, count = kill_at.rpartition(' ')
        self._left = int(count or 0)

    def passes(self, place: str) -> None:
        if self._place and place.startswith(self._place):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()


class Book:
    """A file to which lines are only appended, each by one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def write(self, line: str) -> None:
        os.write(self._file, f'{line}\n'.encode())

    def highest(self) -> int:
        """Return the highest number of the last lines, -1 where there is none."""
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, 10_000, max(size - 10_000, 0))
        return max(map(int, tail.split()), default=-1)


def payload(robot: str, number: int, size: int) -> bytes:
    """Return what says which profiles are in it, and cannot be compressed."""
    filler = random.Random(number).randbytes(size).replace(b' ', b'_')  # noqa: S311
    return b'%b %d ' % (robot.encode(), number) + filler


def numbers_in(data: bytes) -> list[tuple[str, int]]:
    """Return robot and number of all profiles that went into a payload."""
    robot, *numbers = data.split(b' ')[:-1]
    return [(robot.decode(), int(number)) for number in numbers]


def joined(payloads: Sequence[bytes]) -> bytes:
    """Merge: the numbers of all, and the filler of one, as sketches do not grow."""
    robot, *_, filler = payloads[0].split(b' ')
    numbers = [number for data in payloads for number in data.split(b' ')[1:-1]]
    return b' '.join([robot, *numbers, filler])


def entry(job: Job, number: int) -> Entry:
    window, stream = divmod(number, STREAMS)
    start_ns = window * MINUTE_NS
    return Entry(
        robot_id=job.robot,
        stream=f'stream-{stream}',
        segment='',
        epoch=0,
        window_start_ns=start_ns,
        window_end_ns=start_ns + MINUTE_NS,
        payload=payload(job.robot, number, job.size),
        source='source',
        urgent=bool(job.urgent_every) and number % job.urgent_every == 0,
    )


class WatchedSpool(Spool):
    """A spool that writes down what it has acknowledged, and may be killed at each step."""

    def __init__(self, job: Job, killer: Killer) -> None:
        folder = Path(job.folder)
        super().__init__(folder / SPOOL / 'spool.sqlite3', SpoolConfig(**job.spool), self._merge)
        self._killer, self._flaw = killer, job.flaw
        self.ledger = Book(folder / LEDGER)

    def _merge(self, payloads: Sequence[bytes]) -> bytes:
        if self._flaw == 'forgets one in merging':
            payloads = payloads[1:]
        if self._flaw == 'merges one twice':
            payloads = [*payloads, payloads[0]]
        return joined(payloads)

    def put(self, entries: Sequence[Entry]) -> int:
        if self._flaw == 'acknowledges before it puts':
            self._acknowledge(entries)
        self._killer.passes('before put')
        new = super().put(entries)
        self._killer.passes('after put')
        self._acknowledge(entries)
        if self._flaw == 'forgets what it has taken':
            self._run(lambda database: database.execute('DELETE FROM accepted'))
        return new

    def _acknowledge(self, entries: Sequence[Entry]) -> None:
        for each in entries:
            ((_, number),) = numbers_in(each.payload)
            self.ledger.write(str(number))

    def next_batch(
        self, most_bytes: int, *, newest_first: bool = False, urgent_only: bool = False
    ) -> Batch | None:
        self._killer.passes('before next_batch')
        batch = super().next_batch(most_bytes, newest_first=newest_first, urgent_only=urgent_only)
        if batch is not None:
            self._killer.passes('after next_batch')
            if self._flaw == 'deletes before it sends':
                super().confirm(batch)
        return batch

    def confirm(self, batch: Batch) -> None:
        self._killer.passes('before confirm')
        if self._flaw != 'deletes before it sends':
            super().confirm(batch)
        self._killer.passes('after confirm')


def watched(send: Send, job: Job, killer: Killer) -> Send:
    """Return send, writing down what is sent."""
    sent = Book(Path(job.folder) / SENT)

    def do(key: str, body: bytes) -> None:
        if job.flaw == 'names a batch anew':
            key = key.replace('.pb', f'-{secrets.token_hex(4)}.pb')
        sent.write(f'{key} {hashlib.sha256(body).hexdigest()}')
        killer.passes('before send')
        send(key, body)
        killer.passes('after send')

    return do


def watch_statements(killer: Killer) -> None:
    """Let the process be killed at any SQL statement."""
    connect = sqlite3.connect

    def traced(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(lambda statement: killer.passes(f'sql {statement}'))
        return connection

    sqlite3.connect = traced


def watch_renames(killer: Killer) -> None:
    """Let the process be killed before and after any renaming of a file."""
    rename = Path.rename

    def watched_rename(self: Path, target: Path) -> Path:
        killer.passes('before rename')
        result = rename(self, target)
        killer.passes('after rename')
        return result

    Path.rename = watched_rename


def step_the_clock() -> None:
    """Let the wall clock jump at each look, by hours, days and years in both directions."""
    true_ns: Callable[[], int] = time.time_ns
    time.time_ns = lambda: true_ns() + random.choice(CLOCK_STEPS_S) * 10**9  # noqa: S311


def limit_files(size: int) -> None:
    """Let the process be killed in the middle of a write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def work(job: Job) -> None:
    killer = Killer(job.kill_at)
    if job.kill_at.startswith('sql'):
        watch_statements(killer)
    if 'rename' in job.kill_at:
        watch_renames(killer)
    if job.clock_steps:
        step_the_clock()
    if job.file_bytes:
        limit_files(job.file_bytes)
    spool = WatchedSpool(job, killer)
    config = BridgeConfig(**{'upload_interval_s': 0.1, 'batch_bytes': 2_000} | job.upload)
    uploader = Uploader(
        spool, lambda: watched(sender(job.url, config.timeout_s), job, killer), config
    )
    intake = Intake(spool, uploader.hurry)
    number = max(spool.ledger.highest() + 1 - job.offered_again, 0)
    intake.start()
    uploader.start()
    while job.until is None or number < job.until:
        for _ in range(random.randint(1, 10)):  # noqa: S311
            if number != job.until:
                intake.take(entry(job, number))
                number += 1
        time.sleep(0.002)
        while intake.waiting > job.most_waiting:
            time.sleep(0.001)
    while intake.waiting or spool.backlog().profiles or spool.backlog().batches:
        time.sleep(0.01)
    backlog = spool.backlog()
    if not intake.stop(30.0) or not uploader.stop(30.0):
        sys.exit('did not end')
    spool.close()
    print(json.dumps({'merged': backlog.merged, 'dropped': dict(backlog.dropped)}), flush=True)


if __name__ == '__main__':
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format='%(message)s')
    print('up', flush=True)
    work(Job(**json.loads(sys.argv[1])))
