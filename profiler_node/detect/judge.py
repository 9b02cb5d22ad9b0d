"""One window after the other, each against its reference, and what was open before."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from profiler_node.detect.cause import Cause
from profiler_node.detect.causes import causes_of
from profiler_node.detect.causes_message import rate_changed
from profiler_node.detect.comparison import Comparison, Score, compare
from profiler_node.detect.evidence import Evidence
from profiler_node.detect.reference import FEWEST_WINDOWS, Reference
from profiler_node.detect.statistics import Window
from profiler_node.detect.thresholds import alpha_of

Status = Literal['ok', 'warn', 'alert', 'too_few']

_NS = 1e9
_FULL = 8  # messages that each window of the reference has: then fewer are a finding


@dataclass(frozen=True)
class JudgeConfig:
    """How windows are judged.

    false_alarms_per_week: of one robot, over all its features. relaxed: the false-alarm rate of a
    feature of detections while their robot has an incident of a sensor. grow: whether windows that
    are good become part of the reference. near_hours: only the windows of a reference this near in
    time of day are compared with, where there are enough; 0: all. features: how many a robot has;
    0: as many as the references.
    """

    false_alarms_per_week: float = 1.0
    relaxed: float = 1e-3
    grow: bool = False
    near_hours: float = 0.0
    features: int = 0

    def __post_init__(self) -> None:
        if not self.false_alarms_per_week > 0:
            raise ValueError(f'false alarms a week ({self.false_alarms_per_week}) must be > 0')


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of one window.

    causes: the main one first. reason: why it is too_few. scores: the largest ones, in thresholds.
    """

    window: Window
    status: Status
    causes: tuple[Cause, ...] = ()
    reason: str = ''
    scores: tuple[Score, ...] = ()


@dataclass
class _State:
    """What is known of a stream of one robot from the windows before."""

    before: Window | None = None  # the last one, if it was good
    pending: tuple[Cause, ...] = ()  # causes of it that a second window is to confirm
    pending_end_ns: int = 0
    held: Window | None = None  # the pending one: part of the reference where that was all
    evidence: Evidence = field(default_factory=Evidence)


_Kind = tuple[str, str]
_FEWEST_NEAR = 30
_MOST_SCORES = 5


class Judge:
    """Judges the windows of robots, each stream in order of time."""

    def __init__(
        self, references: Mapping[_Kind, Reference], config: JudgeConfig = JudgeConfig()
    ) -> None:
        self._references = references
        self._config = config
        self._features = config.features or sum(each.features for each in references.values())
        self._states: dict[tuple[str, str, str], _State] = {}
        self._upstream: dict[str, int] = {}  # end of the last bad window of a robot's sensors [ns]

    def judge(self, window: Window) -> Verdict:
        """Return what is to be said of window."""
        reference = self._references.get(window.kind)
        if reference is None or len(reference) < FEWEST_WINDOWS:
            count = len(reference) if reference is not None else 0
            text = f'{count} window(s) in the reference, {FEWEST_WINDOWS} are needed'
            return Verdict(window, 'too_few', reason=text)
        state = self._states.setdefault((window.robot_id, *window.kind), _State())
        if not window.is_enough:
            return self._of_few(window, reference, state)
        comparison = compare(
            window,
            self._near(reference, window),
            self._alpha(window),
            state.before,
        )
        is_relaxed = self._is_downstream(window)
        if is_relaxed:
            comparison = replace(
                compare(window, comparison.reference, self._config.relaxed), steps={}
            )
        found = causes_of(comparison)
        accumulated = state.evidence.update(comparison)
        causes = self._confirmed(found, state, window, is_relaxed=is_relaxed)
        if not causes:
            causes = accumulated
        state.pending, state.pending_end_ns = tuple(found), window.end_ns
        state.before = None if causes else window
        self._note_upstream(window, causes)
        if self._config.grow:
            self._grow(reference, state, window, is_pending=bool(found), is_bad=bool(causes))
        return Verdict(window, _status(causes), tuple(causes), scores=_top(comparison))

    @staticmethod
    def _grow(
        reference: Reference, state: _State, window: Window, *, is_pending: bool, is_bad: bool
    ) -> None:
        """Add a good window to its reference, and what no second window has confirmed."""
        held, state.held = state.held, None
        if is_bad:
            return
        if is_pending:
            state.held = window
        elif state.evidence.is_quiet:
            for each in filter(None, (held, window)):
                reference.add(each)

    def _near(self, reference: Reference, window: Window) -> Reference:
        if not self._config.near_hours:
            return reference
        near = reference.near_time_of_day(window.start_ns, self._config.near_hours)
        return near if len(near) >= _FEWEST_NEAR else reference

    def _alpha(self, window: Window) -> float:
        length_s = (window.end_ns - window.start_ns) / _NS
        return alpha_of(self._config.false_alarms_per_week, length_s, self._features)

    def _of_few(self, window: Window, reference: Reference, state: _State) -> Verdict:
        """Return what is to be said of a window with few messages, as of a sensor that stopped."""
        if min(reference.messages) >= _FULL:
            found = rate_changed(Comparison(window, reference, self._alpha(window), {}))
            causes = self._confirmed([found] if found else [], state, window, is_relaxed=False)
            state.pending, state.pending_end_ns = (found,) if found else (), window.end_ns
            state.before = None
            if causes:
                return Verdict(window, _status(causes), tuple(causes))
        return Verdict(window, 'too_few', reason=f'{window.messages} message(s)')

    def _is_downstream(self, window: Window) -> bool:
        end_ns = self._upstream.get(window.robot_id)
        length_ns = window.end_ns - window.start_ns
        is_open = end_ns is not None and end_ns >= window.start_ns - length_ns
        return is_open and window.is_model

    def _note_upstream(self, window: Window, causes: list[Cause]) -> None:
        if any(cause.layer == 'sensor' or cause.id == 'format_changed' for cause in causes):
            earlier = self._upstream.get(window.robot_id, window.end_ns)
            self._upstream[window.robot_id] = max(earlier, window.end_ns)

    @staticmethod
    def _confirmed(
        found: list[Cause], state: _State, window: Window, *, is_relaxed: bool
    ) -> list[Cause]:
        """Return the causes that need no second window, or have one."""
        length_ns = window.end_ns - window.start_ns
        is_next = window.start_ns - state.pending_end_ns <= length_ns
        pending = state.pending if is_next else ()
        return [
            replace(each, severity='warn') if is_relaxed else each
            for each in found
            if not each.confirm or is_relaxed or any(_agree(each, other) for other in pending)
        ]


def _agree(cause: Cause, other: Cause) -> bool:
    """Whether two windows say the same: the same cause, by a number that moved the same way."""
    if cause.id != other.id:
        return False
    signs = {(score.name, score.shift > 0) for score in cause.scores}
    return not signs or any((score.name, score.shift > 0) in signs for score in other.scores)


def _top(comparison: Comparison) -> tuple[Score, ...]:
    scores = comparison.scores.values()
    return tuple(sorted(scores, key=lambda score: -score.ratio)[:_MOST_SCORES])


def _status(causes: list[Cause]) -> Status:
    if not causes:
        return 'ok'
    return 'alert' if any(cause.severity == 'alert' for cause in causes) else 'warn'
