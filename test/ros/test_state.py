"""What outlives a restart."""

import pytest

from profiler_node.ros.state import first_epoch, state_path


def test_epochs_count_the_starts(tmp_path):
    folder = tmp_path / 'a' / 'b'
    assert [first_epoch(folder) for _ in range(3)] == [0, 65536, 131072]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / 'runs').write_text('many')
    with pytest.raises(ValueError, match='runs is damaged'):
        first_epoch(tmp_path)


def test_nodes_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv('ROS_HOME', str(tmp_path))
    assert state_path('', '/left/profiler') == tmp_path / 'edge_profiler/left/profiler'
    assert state_path('/data', '/profiler') != state_path('/data', '/bridge')
