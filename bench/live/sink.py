"""Subscribes the mix as the profiler does and does nothing with it: sink.py REPORT.

What it costs is the transport. At its end it writes how many messages came, by topic.
"""

import json
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from mix import MIX, Sensor

from profiler_node.ros.process import ProcessNode, run
from profiler_node.ros.qos import matching_qos

_LOOK_PERIOD_S = 0.1


class Sink(ProcessNode):
    """Counts messages."""

    def __init__(self, report: Path) -> None:
        super().__init__('sink')
        self._report = report
        self._received: Counter[str] = Counter()
        self._waiting = list(MIX)
        self._timer = self.create_timer(_LOOK_PERIOD_S, self._look)

    def _look(self) -> None:
        for sensor in list(self._waiting):
            if publishers := self.get_publishers_info_by_topic(sensor.topic):
                self._subscribe(sensor, [each.qos_profile for each in publishers])
                self._waiting.remove(sensor)
        if not self._waiting:
            self._timer.cancel()

    def _subscribe(self, sensor: Sensor, offered: list[Any]) -> None:
        self.create_subscription(
            sensor.message_class,
            sensor.topic,
            partial(self._on_message, sensor.name),
            matching_qos(offered, sensor.depth),
            raw=True,
        )

    def _on_message(self, name: str, _: bytes) -> None:
        self.handled += 1
        self._received[name] += 1

    def finish(self) -> None:
        """Write what came."""
        self._report.write_text(json.dumps(self._received), encoding='utf-8')


if __name__ == '__main__':
    sys.exit(run('sink', lambda: Sink(Path(sys.argv[1]))))
