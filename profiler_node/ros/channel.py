"""A configured stream, and how it is doing."""

import time
from collections import deque
from dataclasses import dataclass, field

from profiler_node.core.config import NS_PER_S, ZERO_CONFIGURATION, StreamConfig
from profiler_node.core.profile import Counters
from profiler_node.core.stream import Stream
from profiler_node.health import Level, Status
from profiler_node.ros.inputs import Input

_LOOKS_BACK = 10  # over which rates are taken
_SILENT_NS, _SILENT_INTERVALS = 5 * NS_PER_S, 10
_FORGETTING = 1 / 16  # weight of the last interval in their mean


@dataclass
class Channel:
    """A configured stream, and what it is once its topic has a publisher.

    last_steady_ns: when a message was profiled last, 0 for never.
    """

    name: str
    config: StreamConfig
    input: Input | None = None
    stream: Stream | None = None
    last_steady_ns: int = 0
    _heard_simulated_ns: int = 0  # simulated time of then, 0 where there was none
    _arrived: int = 0
    _arrived_ns: int = 0  # steady time of the last message
    _interval_ns: float = 0.0  # between two of them
    _looks: deque[tuple[int, int, int, int]] = field(
        default_factory=lambda: deque(((time.monotonic_ns(), 0, 0, 0),), maxlen=_LOOKS_BACK + 1)
    )

    def arrived(self, now_ns: int) -> None:
        """Take it that a message has come; now_ns: steady time."""
        interval_ns = now_ns - self._arrived_ns
        if self._arrived == 1:
            self._interval_ns = interval_ns
        elif self._arrived:
            usual_ns = min(interval_ns, _SILENT_INTERVALS * self._interval_ns)  # silence is none
            self._interval_ns += _FORGETTING * (usual_ns - self._interval_ns)
        self._arrived += 1
        self._arrived_ns = now_ns

    def heard(self, steady_ns: int, simulated_ns: int) -> None:
        """Take it that a message is profiled; simulated_ns: 0 where there is no such time."""
        self.last_steady_ns, self._heard_simulated_ns = steady_ns, simulated_ns

    def silent_ns(self, steady_ns: int, simulated_ns: int) -> int:
        """Return how long it has been since the last message, without the pauses of a simulation.

        A simulation that runs fast says no more than steady time: messages wait in the queue.
        """
        silent_ns = steady_ns - self.last_steady_ns
        if not simulated_ns:
            return silent_ns
        if not 0 < self._heard_simulated_ns <= simulated_ns:  # it has begun, or begun anew
            self._heard_simulated_ns = simulated_ns
        return min(silent_ns, simulated_ns - self._heard_simulated_ns)

    def status(self, share: float, now_ns: int) -> Status:
        """Return how the stream is doing; share: of its messages that is profiled.

        To be called once a second: rates are over the last ten calls.
        """
        counters = self.stream.windows.totals() if self.stream else Counters()
        errors = sum(counters.decode_errors.values())
        self._looks.append((now_ns, self._arrived, counters.decoded, errors))
        then_ns, *before = self._looks[0]
        arrived, decoded, failed = (
            now - earlier for now, earlier in zip(self._looks[-1][1:], before, strict=True)
        )
        silent_ns = now_ns - self._arrived_ns if self._arrived else 0
        rate_hz = arrived * NS_PER_S / max(now_ns - then_ns, 1)
        level, message = self._judge(rate_hz, silent_ns, decoded, failed)
        values: dict[str, object] = {
            'topic': self.input.resolved if self.input else '',
            'type': self.stream.source.message_type if self.stream else '',
            'publishers': self.input.publishers if self.input else 0,
            'rate [Hz]': f'{rate_hz:.2f}',
            'last message [s ago]': f'{silent_ns / NS_PER_S:.1f}' if self._arrived else '',
            'seen': counters.seen,
            'decoded': counters.decoded,
            **{f'not decoded, {name}': n for name, n in counters.decode_errors.items()},
            'left out': counters.shed,
            'profiled share': f'{share:.2f}',
            'late': counters.late,
            'lost': counters.lost,
            'missing by their stamps': counters.stamp_gaps,
            'CPU time [s]': f'{counters.cpu_ns / NS_PER_S:.2f}',
            'problem': self._problem,
        }
        return Status(self.name, level, message, values)

    @property
    def _problem(self) -> str:
        problems = (self.input.problem if self.input else '', self.stream and self.stream.problem)
        return '; '.join(filter(None, problems))

    def _judge(
        self, rate_hz: float, silent_ns: int, decoded: int, failed: int
    ) -> tuple[Level, str]:
        """Return how bad it is, and the worst in words."""
        problem, publishers = self._problem, self.input.publishers if self.input else 0
        longest_ns = max(_SILENT_NS, _SILENT_INTERVALS * self._interval_ns)
        undecodable = f'{failed} of {failed + decoded} messages cannot be decoded'
        verdicts = (
            (self.input is not None and self.input.fails, Level.ERROR, problem),
            (failed and not decoded, Level.ERROR, f'{undecodable}; {problem}'.rstrip('; ')),
            (silent_ns > longest_ns, Level.WARN, f'silent for {silent_ns / NS_PER_S:.0f} s'),
            (failed, Level.WARN, undecodable),
            (problem, Level.WARN, problem),
            (self._arrived, Level.OK, f'{rate_hz:.1f} Hz'),
            (publishers, Level.OK, 'waiting for the first message'),
            (self._is_wanted, Level.WARN, 'nobody publishes'),
            (True, Level.OK, 'nobody publishes'),
        )
        return next((level, text) for holds, level, text in verdicts if holds)

    @property
    def _is_wanted(self) -> bool:
        """Whether somebody named the topic, rather than that it is one of the defaults."""
        return bool(self.config.topic) or self.name not in ZERO_CONFIGURATION
