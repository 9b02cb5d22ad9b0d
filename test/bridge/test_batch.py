"""Names of objects."""

import re

from hypothesis import given
from hypothesis import strategies as st

from profiler_node.bridge.batch import object_key, safe_name

DAY_NS = 86_400 * 10**9


def test_names_carry_date_and_robot_and_sort_by_time():
    keys = [object_key('robot-7', time_ns) for time_ns in (0, 1_000_000, DAY_NS, 20_000 * DAY_NS)]
    assert keys == sorted(keys)
    assert keys[2].startswith('1970-01-02/robot-7/19700102T000000.000000Z-')


def test_two_objects_of_one_moment_have_different_names():
    assert object_key('r', 0) != object_key('r', 0)


@given(st.text(), st.text())
def test_any_robot_id_is_safe_and_keeps_its_own_name(first, second):
    for robot_id in (first, second):
        assert re.fullmatch(r'[A-Za-z0-9_-]{1,63}', safe_name(robot_id))
    assert (safe_name(first) == safe_name(second)) == (first == second)


def test_hostile_ids_do_not_escape():
    assert '/' not in safe_name('../../etc/passwd')
    assert safe_name('..') != '..'
    assert safe_name('') != ''
