"""Memory that was freed is used again, as counted by the system."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from profiler_node.memory import keep_freed_memory

{call}
def images(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        image = np.full(6_000_000, 1, np.uint8)
        planes = [np.full(2_000_000, 1, np.uint8) for _ in range(3)]
        del planes, image
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
images(3)
print(images(20))
"""


def faults(call):
    """How many pages the system cleared for twenty images."""
    script = SCRIPT.format(call=call)
    done = subprocess.run(
        [sys.executable, '-c', script], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='needs glibc')
def test_images_reuse_the_memory_of_those_before_them():
    assert faults('keep_freed_memory()') < 0.1 * faults('')
