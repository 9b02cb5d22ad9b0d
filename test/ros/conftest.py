"""Real nodes in processes of their own, over DDS that stays on this machine."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if importlib.util.find_spec('rclpy'):  # else the tests here skip themselves
    import rclpy
    from ament_index_python.packages import get_package_prefix
    from domain_coordinator import domain_id
    from rclpy.executors import SingleThreadedExecutor

ROOT = Path(__file__).parent.parent.parent
PLAYER = ROOT / 'demo' / 'player.py'


@pytest.fixture(scope='session')
def environment() -> Iterator[dict[str, str]]:
    """A domain of this run's own."""
    with domain_id() as domain:
        isolated = {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_STATIC_PEERS': '',
        }
        os.environ |= isolated
        yield {**os.environ, **isolated}


class Process:
    """A node in a process of its own."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.output = ''
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            self.output += line

    def says(self, text: str, timeout_s: float = 20.0) -> bool:
        """Whether text is in its output in time."""
        deadline_s = time.monotonic() + timeout_s
        while text not in self.output and time.monotonic() < deadline_s:
            time.sleep(0.05)
        return text in self.output

    def end(self, number: int = signal.SIGINT) -> int:
        """Send the signal and return the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self.wait()

    def runs_for(self, duration_s: float) -> bool:
        """Whether it is still running after that time."""
        try:
            self._process.wait(duration_s)
        except subprocess.TimeoutExpired:
            return True
        return False

    def signal(self, number: int) -> None:
        """Send the signal and go on."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Return the exit status."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            pytest.fail(f'did not end within {timeout_s} s: {self.output}')
        finally:
            self._reader.join()
            self._process.stdout.close()
        return self._process.returncode


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """Starts `profiler`, `bridge` or `player` with these arguments."""
    started = []

    def start(name: str, *arguments: object) -> Process:
        installed = Path(get_package_prefix('edge_profiler')) / 'lib' / 'edge_profiler'
        command = [sys.executable, PLAYER] if name == 'player' else [installed / name]
        started.append(Process([*map(str, command), *map(str, arguments)], environment))
        return started[-1]

    yield start
    for process in started:
        process.end(signal.SIGKILL)


class Observer:
    """A node of the test's own."""

    def __init__(self) -> None:
        rclpy.init()
        self.node = rclpy.create_node('observer')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)

    def until(self, condition: Callable[[], object], timeout_s: float = 15.0) -> bool:
        """Spin until condition holds; False where it does not in time."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            self._executor.spin_once(timeout_sec=0.05)
        return True

    def close(self) -> None:
        self._executor.remove_node(self.node)
        self.node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def observer(environment: dict[str, str]) -> Iterator[Observer]:  # noqa: ARG001 (isolates)
    """A node of the test's own, in the same domain."""
    observer = Observer()
    yield observer
    observer.close()
