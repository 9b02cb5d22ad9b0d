"""The command line's look at a spool."""

import re
import sqlite3
from contextlib import closing

import pytest

from profiler_node.bridge.spool import Entry, Spool
from profiler_node.cli import main

MINUTE_NS = 60 * 10**9


def spool_entry(number):
    window = number * MINUTE_NS, (number + 1) * MINUTE_NS
    return Entry('robot-7', 'front', '', 0, *window, b'payload %d' % number)


@pytest.fixture
def spool(tmp_path):
    path = tmp_path / 'spool.sqlite3'
    with Spool(path) as spool:
        spool.put([spool_entry(number) for number in range(40)])
        spool.count_dropped('memory', 3)
        yield path


def test_a_spool_is_inspected_while_a_bridge_has_it(spool, capsys):
    assert main(['spool', 'inspect', str(spool)]) == 0
    out = capsys.readouterr().out
    assert re.search(r'robot-7 +front +40 .* 60 s +1970-01-01 00:00:00 +1970-01-01 00:40:00', out)
    assert '40 profile(s) and 0 batch(es) wait' in out
    assert '3 dropped (memory)' in out


def test_a_whole_spool_is_said_to_be_whole(spool, capsys):
    assert main(['spool', 'verify', str(spool)]) == 0
    assert 'whole' in capsys.readouterr().out


def test_a_changed_row_is_found_and_repair_leaves_it_out(spool, tmp_path, capsys):
    path = tmp_path / 'damaged.sqlite3'
    with closing(sqlite3.connect(spool)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
        copy.execute("UPDATE profiles SET payload = x'00' WHERE id = 7")
        copy.commit()
    assert main(['spool', 'verify', str(path)]) == 1
    assert 'profiles: row 7 is not as it was written' in capsys.readouterr().err
    assert main(['spool', 'repair', str(path)]) == 0
    assert 'saved: 39 profiles' in capsys.readouterr().out
    assert main(['spool', 'verify', str(path)]) == 0


def test_a_spool_that_a_bridge_has_is_not_repaired(spool, capsys):
    assert main(['spool', 'repair', str(spool)]) == 1
    assert 'another process' in capsys.readouterr().err


@pytest.mark.parametrize('action', ['inspect', 'verify', 'repair'])
def test_what_is_no_spool_is_named(action, tmp_path, capsys):
    assert main(['spool', action, str(tmp_path / 'none')]) == 1
    assert 'no such file' in capsys.readouterr().err
    (tmp_path / 'text').write_text('not a database at all' * 100)
    assert main(['spool', action, str(tmp_path / 'text')]) == (0 if action == 'repair' else 1)
