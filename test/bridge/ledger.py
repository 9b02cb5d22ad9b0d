"""Whether all that a bridge has acknowledged is in the store, each profile once.

A worker process (worker.py) writes the numbers of the profiles that it has acknowledged to its
ledger. It is killed and started again; in the end it uploads all there is, and the ledger is held
against the objects in the store.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

from faults import Fault, FaultyStore
from worker import LEDGER, SENT, Job, numbers_in

from profiler_node.wire.objects import unpack

NEAR_THE_CAP: dict[str, Any] = {
    'size': 9_000,
    'urgent_every': 0,
    'spool': {'max_bytes': 4_000_000},
}
"""A job that soon merges windows where nothing is uploaded."""

_WORKER = Path(__file__).with_name('worker.py')
_DRAIN_S = 120.0

Number = tuple[str, int]
"""Robot and number of a profile."""


@dataclass(frozen=True)
class Account:
    """The outcome. delivered: of those that were acknowledged, how many are in the store."""

    acked: int
    delivered: int
    lost: frozenset[Number]
    doubled: frozenset[Number]
    rewritten: frozenset[str] = frozenset()
    """Keys under which different bytes were sent."""

    def __str__(self) -> str:
        lost, doubled = len(self.lost), len(self.doubled) + len(self.rewritten)
        return f'acked {self.acked} delivered {self.delivered} lost {lost} doubled {doubled}'

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost or doubled, and there was something to be delivered at all."""
        return self.acked > 0 and not self.lost and not self.doubled and not self.rewritten


def account(
    acked: Iterable[Number], objects: Mapping[str, bytes], sent: Iterable[tuple[str, str]] = ()
) -> Account:
    """Hold what was acknowledged against the objects of a store.

    sent: key and digest of each try to write an object.
    """
    owed = set(acked)
    there = Counter(
        number for body in objects.values() for data in unpack(body) for number in numbers_in(data)
    )
    digests = defaultdict(set)
    for key, digest in sent:
        digests[key].add(digest)
    return Account(
        acked=len(owed),
        delivered=len(owed & there.keys()),
        lost=frozenset(owed - there.keys()),
        doubled=frozenset(number for number, count in there.items() if count > 1),
        rewritten=frozenset(key for key, different in digests.items() if len(different) > 1),
    )


def files(folder: Path) -> dict[str, bytes]:
    """Return the objects of a store that is a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob('*.pb.zst')}


class Robot:
    """A bridge that dies and lives again: one folder, one process at a time."""

    def __init__(self, folder: Path, url: str, **job: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.job = Job(str(folder), url, **job)
        self._process: subprocess.Popen[str] | None = None

    def start(self, **changes: Any) -> 'subprocess.Popen[str]':
        """Begin a life, and return its process when its imports are done."""
        job = replace(self.job, **changes)
        with (self.folder / 'log').open('a') as log:
            self._process = subprocess.Popen(
                [sys.executable, str(_WORKER), json.dumps(asdict(job))],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd='/',
            )
        assert self._process.stdout.readline() == 'up\n', self.log()
        return self._process

    def live(self, duration_s: float, **changes: Any) -> None:
        """Begin a life that is ended the hard way after this time."""
        process = self.start(**changes)
        time.sleep(duration_s)
        process.kill()
        self._ended()

    def dies(self, timeout_s: float = 30.0, **changes: Any) -> int:
        """Begin a life that kills itself; return the status it ended with."""
        process = self.start(**changes)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f'still alive after {timeout_s} s: {self.log()}') from None
        return self._ended()

    def drain(self, **changes: Any) -> dict[str, Any]:
        """Begin a life that uploads all there is and ends; return its backlog."""
        until = {'until': max((number for _, number in self.acked()), default=0) + 1}
        process = self.start(**until | changes)
        return self.finish(process)

    def finish(self, process: 'subprocess.Popen[str]') -> dict[str, Any]:
        """Wait until the worker has uploaded all and ended; return its backlog."""
        try:
            out, _ = process.communicate(timeout=_DRAIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f'not drained within {_DRAIN_S} s: {self.log()}') from None
        assert process.returncode == 0, self.log()
        return json.loads(out)

    def _ended(self) -> int:
        process = self._process
        with process.stdout:
            return process.wait()

    def end(self) -> None:
        """Kill what still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._ended()

    def log(self) -> str:
        """Return what the workers have logged, the end of it."""
        return (self.folder / 'log').read_text()[-2_000:]

    def acked(self) -> list[Number]:
        """Return what was acknowledged."""
        return [(self.job.robot, int(line)) for line in _lines(self.folder / LEDGER)]

    def sent(self) -> list[tuple[str, str]]:
        """Return the key and digest of each try to send an object."""
        return [tuple(line.split(' ')) for line in _lines(self.folder / SENT)]

    def account(self, objects: Mapping[str, bytes]) -> Account:
        """Hold the ledger against the objects of a store."""
        return account(self.acked(), objects, self.sent())


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def kill_at_random(
    robot: Robot, kills: int, seed: int, before: Callable[[random.Random], None]
) -> None:
    """Kill robot this often, in the start of every fifth life and in the midst of the others.

    before: called before each life.
    """
    chance = random.Random(seed)  # noqa: S311
    for number in range(kills):
        before(chance)
        robot.live(chance.uniform(0, 0.15 if number % 5 else 0.02))


def vary(store: FaultyStore, chance: random.Random) -> None:
    """Have a store, or the link to it, work or not work."""
    store.fault = chance.choice(
        [None, None, None, Fault.LOST_ACK, Fault.CUT_BODY, HTTPStatus.SERVICE_UNAVAILABLE]
    )


def vary_rarely_up(store: FaultyStore, chance: random.Random) -> None:
    """Have a robot be offline but for one life of thirty."""
    store.fault = Fault.REFUSED if chance.random() < 29 / 30 else None
