"""Processes that do not outlive what they are for."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator

ENDS_WITHIN_S = 8.0


@contextlib.contextmanager
def process(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends at the latest with the block: asked first, then killed."""
    with subprocess.Popen(list(map(str, command))) as child:
        try:
            yield child
        finally:
            end(child)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask child to end, and wait for it."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
