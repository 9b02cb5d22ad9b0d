"""Windows that say the same become one incident: since when, where, which robots, which tag."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from profiler_node.detect.cause import Cause, Severity, number
from profiler_node.detect.comparison import Score
from profiler_node.detect.judge import Verdict
from profiler_node.detect.statistics import RATE_KEY, Window

_MOST_STAMPS = 8
_LATE = 10
_GAP_WINDOWS = 2  # good windows that do not end an incident
_ORDER = {'system': 0, 'sensor': 1, 'model': 2}
# Some causes of the system come from elsewhere more often than others come from them.
_FIRST = {'format_changed': -1, 'rate_changed': 3, 'latency_changed': 3, 'drift': 4}


@dataclass(frozen=True)
class Finding:
    """A cause in one window of one stream of one robot."""

    verdict: Verdict
    cause: Cause

    @property
    def robot_id(self) -> str:
        """The robot."""
        return self.verdict.window.robot_id

    @property
    def stream(self) -> str:
        """The stream."""
        return self.verdict.window.stream

    @property
    def rank(self) -> tuple[int, int]:
        """Its place from up- to downstream: the lowest causes the others."""
        order = _FIRST.get(self.cause.id, _ORDER[self.cause.layer])
        late = self.cause.severity == 'warn' and self.cause.delay > 1
        return order + _LATE * late, int(self.verdict.window.is_model)


@dataclass(frozen=True)
class Incident:
    """What happened, with its consequences.

    cause: the identifier of the most upstream one. tags: the values that all affected robots have
    and no other has. stamps_ns: of messages with the extremes of the features.
    """

    cause: str
    evidence: str
    severity: Severity
    streams: tuple[str, ...]
    robots: tuple[str, ...]
    tags: dict[str, str]
    scores: tuple[Score, ...]
    first_window_start_ns: int
    last_window_start_ns: int
    stamps_ns: tuple[int, ...]


def incidents_of(verdicts: Sequence[Verdict]) -> list[Incident]:
    """Return the incidents of verdicts, the gravest and earliest first.

    verdicts: of all windows that were judged, the good ones too: those tell the unaffected robots.
    """
    tags = _tags_of(verdicts)
    groups: dict[tuple[str, str], list[list[Finding]]] = defaultdict(list)
    for episode in _episodes(verdicts):
        main = _main(episode)
        _join(groups[main.stream, main.cause.id], episode)
    found = [_incident(episode, tags) for every in groups.values() for episode in every]
    return sorted(found, key=lambda each: (each.severity != 'alert', each.first_window_start_ns))


def _length_ns(finding: Finding) -> int:
    window = finding.verdict.window
    return window.end_ns - window.start_ns


def _episodes(verdicts: Iterable[Verdict]) -> list[list[Finding]]:
    """Return the findings of each robot that follow each other, over all its streams."""
    robots: dict[str, list[Finding]] = defaultdict(list)
    for verdict in verdicts:
        for cause in verdict.causes:
            robots[verdict.window.robot_id].append(Finding(verdict, cause))
    episodes: list[list[Finding]] = []
    for findings in robots.values():
        findings.sort(key=lambda finding: finding.verdict.window.start_ns)
        end_ns: int | None = None
        for finding in findings:
            window = finding.verdict.window
            if end_ns is None or window.start_ns > end_ns + _GAP_WINDOWS * _length_ns(finding):
                episodes.append([])
                end_ns = window.end_ns
            episodes[-1].append(finding)
            end_ns = max(end_ns, window.end_ns)
    return episodes


def _main(episode: Sequence[Finding]) -> Finding:
    """Return the finding that the others come from: the most upstream, of these the first."""
    return min(episode, key=lambda each: (each.rank, each.verdict.window.start_ns))


def _join(groups: list[list[Finding]], episode: list[Finding]) -> None:
    """Add an episode of a robot to that of others that overlaps in time, else as one of its own."""
    start, end = _span(episode)
    for group in groups:
        first, last = _span(group)
        slack = _GAP_WINDOWS * _length_ns(episode[0])
        if start <= last + slack and end >= first - slack:
            group.extend(episode)
            return
    groups.append(episode)


def _span(findings: Sequence[Finding]) -> tuple[int, int]:
    windows = [finding.verdict.window for finding in findings]
    return min(w.start_ns for w in windows), max(w.end_ns for w in windows)


def _incident(findings: Sequence[Finding], tags: dict[str, dict[str, str]]) -> Incident:
    main = _main(findings)
    own = [each for each in findings if each.cause.id == main.cause.id]
    robots = sorted({each.robot_id for each in findings})
    separating, counts = _separating(robots, tags)
    sentences = [f'{main.stream}: {main.cause.evidence}', *_consequences(findings, main)]
    if counts:
        sentences.append(counts)
    return Incident(
        cause=main.cause.id,
        evidence='; '.join(sentences),
        severity='alert' if any(each.cause.severity == 'alert' for each in findings) else 'warn',
        streams=tuple(dict.fromkeys([main.stream, *sorted({each.stream for each in findings})])),
        robots=tuple(robots),
        tags=separating,
        scores=_scores(findings, main),
        first_window_start_ns=min(each.verdict.window.start_ns for each in findings),
        last_window_start_ns=max(each.verdict.window.start_ns for each in findings),
        stamps_ns=_stamps(own),
    )


def _consequences(findings: Sequence[Finding], main: Finding) -> list[str]:
    """Return a sentence for each other cause that came with the main one."""
    seen = {(main.stream, main.cause.id)}
    sentences = []
    for finding in sorted(findings, key=lambda each: each.rank):
        key = finding.stream, finding.cause.id
        if key in seen or (finding.stream == main.stream and finding.cause.id == 'drift'):
            continue
        seen.add(key)
        text = f'{finding.cause.id} in {finding.stream}: {finding.cause.evidence}'
        sentences.append(f'with it {text}')
    return sentences


def _scores(findings: Sequence[Finding], main: Finding) -> tuple[Score, ...]:
    """Return the scores of the main cause, then the largest of the others, one of each feature."""
    best: dict[tuple[str, str], Score] = {}
    for finding in sorted(findings, key=lambda each: (each is not main, each.rank)):
        for score in finding.cause.scores:
            best.setdefault((finding.stream, score.name), score)
    return tuple(best.values())


def _stamps(findings: Sequence[Finding]) -> tuple[int, ...]:
    """Return the stamps of the messages that hold the extremes, in the direction of the shift."""
    stamps = [
        stamps_ns[score.name][score.shift > 0]
        for finding in findings
        for stamps_ns in [finding.verdict.window.stamps_ns]
        for score in finding.cause.scores
        if score.name in stamps_ns
    ]
    return tuple(dict.fromkeys(stamp for stamp in stamps if stamp))[:_MOST_STAMPS]


def _tags_of(verdicts: Iterable[Verdict]) -> dict[str, dict[str, str]]:
    """Return the tags of each robot, the newest of each."""
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for verdict in sorted(verdicts, key=lambda each: each.window.start_ns):
        tags[verdict.window.robot_id].update(verdict.window.tags)
    return tags


def _separating(
    robots: Sequence[str], tags: dict[str, dict[str, str]]
) -> tuple[dict[str, str], str]:
    """Return the tag values that affected robots have and others do not, and how many of each.

    A value need not separate them wholly: the one is taken that tells most robots right, if it
    tells all but a tenth.
    """
    affected, others = set(robots), set(tags) - set(robots)
    if not others:
        return {}, ''
    best: list[tuple[int, str, str, int, int]] = []
    for key, value in sorted({item for each in tags.values() for item in each.items()}):
        having = {robot for robot, each in tags.items() if each.get(key) == value}
        inside, outside = len(having & affected), len(having & others)
        best.append((len(affected) - inside + outside, key, value, inside, outside))
    least = min((wrong for wrong, *_ in best), default=len(tags))
    if least > 0.1 * min(len(affected), len(others)):
        return {}, ''
    chosen = [item for item in best if item[0] == least]
    sentences = [
        f'{key}={value} has {inside} of {len(affected)} affected robot(s) and {outside} of '
        f'{len(others)} other(s)'
        for _, key, value, inside, outside in chosen
    ]
    return {key: value for _, key, value, *_ in chosen}, ', '.join(sentences)


def silent_streams(reference: Iterable[Window], current: Sequence[Window]) -> list[Incident]:
    """Return an incident for each stream of the reference that has no window at all."""
    kinds = {window.kind for window in current}
    silent = {window.kind: window for window in reference if window.kind not in kinds}
    return [
        Incident(
            cause='rate_changed',
            evidence=(
                f'{window.stream}: no messages, {number(window.plain[RATE_KEY])} a second in the '
                'reference'
            ),
            severity='warn',
            streams=(window.stream,),
            robots=tuple(sorted({each.robot_id for each in current})),
            tags={},
            scores=(),
            first_window_start_ns=min(each.start_ns for each in current),
            last_window_start_ns=max(each.start_ns for each in current),
            stamps_ns=(),
        )
        for window in silent.values()
    ]
