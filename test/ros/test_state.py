"""What outlives a restart."""

import subprocess
import sys

import pytest

from profiler_node.ros.state import first_epoch, state_path


def test_epochs_count_the_starts(tmp_path):
    folder = tmp_path / 'a' / 'b'
    assert [first_epoch(folder) for _ in range(3)] == [0, 65536, 131072]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / 'runs').write_text('many')
    with pytest.raises(ValueError, match='runs is damaged'):
        first_epoch(tmp_path)


def test_two_processes_never_get_the_same(tmp_path):
    code = f"""
from pathlib import Path
from profiler_node.ros.state import first_epoch
for _ in range(100):
    print(first_epoch(Path({str(tmp_path)!r})))
"""
    command = [sys.executable, '-c', code]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) for _ in range(2)]
    epochs = [int(line) for run in runs for line in run.communicate()[0].split()]
    assert sorted(epochs) == [65536 * n for n in range(200)]


def test_the_folder_is_below_ros_home(tmp_path, monkeypatch):
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    assert state_path('') == tmp_path / 'edge_profiler'
    assert str(state_path('/data')) == '/data'
