"""Counters of an open window."""

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType

from profiler_node.core.profile import Counters


@dataclass(slots=True)
class WindowCounts:
    """Counters in the making; see profile.Counters."""

    seen: int = 0
    decoded: int = 0
    decode_errors: Counter[str] = field(default_factory=Counter)
    shed: int = 0
    late: int = 0
    lost: int = 0
    duplicate_stamps: int = 0
    stamp_regressions: int = 0
    zero_stamps: int = 0
    foreign_stamps: int = 0
    stamp_gaps: int = 0
    cpu_ns: int = 0
    peak_rss_bytes: int = 0
    interruptions: int = 0

    def count_missing(self, by_stamps: int, lost: int | None) -> None:
        """Count missing messages.

        by_stamps: as the stamps tell it, -1 for one that has come after all. lost: as of Message.
        """
        if not by_stamps and not lost:
            return
        self.stamp_gaps = max(self.stamp_gaps + by_stamps, 0)
        self.lost = max(self.lost + (by_stamps if lost is None else lost), 0)

    def finish(self) -> Counters:
        """Return the counters as they are now."""
        return Counters(
            seen=self.seen,
            decoded=self.decoded,
            decode_errors=MappingProxyType(dict(sorted(self.decode_errors.items()))),
            shed=self.shed,
            late=self.late,
            lost=self.lost,
            duplicate_stamps=self.duplicate_stamps,
            stamp_regressions=self.stamp_regressions,
            zero_stamps=self.zero_stamps,
            foreign_stamps=self.foreign_stamps,
            stamp_gaps=self.stamp_gaps,
            cpu_ns=self.cpu_ns,
            peak_rss_bytes=self.peak_rss_bytes,
            interruptions=self.interruptions,
        )
