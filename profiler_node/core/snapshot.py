"""The open windows of a stream, for a process that goes on where another was killed."""

from dataclasses import dataclass, replace

from profiler_node.core.profile import Profile


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a stream was, in event time since 1970.

    newest_ns: the largest stamp so far, last_stamp_ns: that of the last message, closed_until_ns:
    the end of the last closed window; None where there is none. open: what the open windows hold,
    oldest first.
    """

    epoch: int
    newest_ns: int | None = None
    last_stamp_ns: int | None = None
    closed_until_ns: int | None = None
    open: tuple[Profile, ...] = ()

    def is_over(self, silent_ns: int, lateness_ns: int) -> bool:
        """Whether all windows are over when nothing has come for silent_ns."""
        if not self.open or self.newest_ns is None:
            return True
        return self.newest_ns + silent_ns >= self.open[-1].window_end_ns + lateness_ns

    def closed(self) -> 'Snapshot':
        """Return where the stream is when its windows have been closed."""
        ends_ns = (*(profile.window_end_ns for profile in self.open), self.closed_until_ns)
        until_ns = max((end_ns for end_ns in ends_ns if end_ns is not None), default=None)
        return replace(self, open=(), closed_until_ns=until_ns)

    def interrupted(self) -> list[Profile]:
        """Return the open windows as they are, to be closed without what would have come."""
        return [
            replace(profile, counters=replace(counters, interruptions=counters.interruptions + 1))
            for profile in self.open
            for counters in (profile.counters,)
        ]
