"""How the process of the profiler is doing."""

import resource
import time
from collections.abc import Mapping

from profiler_node.core.config import NS_PER_S
from profiler_node.feed import peak_rss_bytes
from profiler_node.health import Level, Status
from profiler_node.ros.checkpoint import Checkpoints


class Vitals:
    """Measures the process between one call and the next."""

    def __init__(self) -> None:
        self._looked_ns, self._cpu_s = time.monotonic_ns(), _cpu_s()

    def status(self, kept: Mapping[str, float], checkpoints: Checkpoints) -> Status:
        """Return how it is doing; kept: share that is profiled, of streams that are not in full."""
        now_ns, cpu_s = time.monotonic_ns(), _cpu_s()
        share = (cpu_s - self._cpu_s) * NS_PER_S / max(now_ns - self._looked_ns, 1)
        self._looked_ns, self._cpu_s = now_ns, cpu_s
        shares = ', '.join(f'{name} {part:.0%}' for name, part in kept.items())
        level, message = Level.OK, 'all messages are profiled'
        if shares:
            level, message = Level.WARN, f'messages are left out: {shares} profiled'
        if checkpoints.problem:
            level, message = Level.WARN, f'no checkpoint: {checkpoints.problem}'
        written_s = checkpoints.written_s
        age = '' if written_s is None else f'{now_ns / NS_PER_S - written_s:.1f}'
        values = {
            'CPU [share of one core]': f'{share:.2f}',
            'CPU time [s]': f'{cpu_s:.1f}',
            'most memory [MB]': f'{peak_rss_bytes() / 1e6:.0f}',
            'left out': shares,
            'checkpoint [s ago]': age,
            'checkpoint [bytes]': checkpoints.size,
            'checkpoint written in [s]': f'{checkpoints.duration_s:.3f}',
            'checkpoints not written': checkpoints.errors,
            'checkpoint problem': checkpoints.problem,
        }
        return Status('process', level, message, values)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
