"""Paths into messages against plain attribute access."""

import numpy as np
import pytest

from profiler_node.core.decode import STORE, store_of
from profiler_node.core.paths import PathError, leaf_at, leaves_of, reader_of

TREE = 'tree_msgs/msg/Tree'
STORE_OF_TREES = store_of(
    {
        TREE: """
            int32 number
            string name
            bool from
            builtin_interfaces/Time when
            builtin_interfaces/Duration[] spans
            float64[3] place
            string[] words
            Branch main
            Branch[] branches
        """,
        'tree_msgs/msg/Branch': """
            int32 number
            string name
            float32[] lengths
            string[<=4] words
            builtin_interfaces/Time when
            Leaf[2] leaves
        """,
        'tree_msgs/msg/Leaf': 'uint8 size\nuint8[] cells',
        'builtin_interfaces/msg/Time': 'int32 sec\nuint32 nanosec',
        'builtin_interfaces/msg/Duration': 'int32 sec\nuint32 nanosec',
    }
)


def branch(number):
    return {
        'number': number,
        'name': f'branch {number}',
        'lengths': [number + i / 2 for i in range(number)],
        'words': ['a', 'b'][:number],
        'when': {'sec': number, 'nanosec': 500_000_000},
        'leaves': [{'size': number, 'cells': [number] * 2}, {'size': 9}],
    }


@pytest.fixture
def tree(serialized):
    given = {
        'number': -7,
        'name': 'oak',
        'from': True,
        'when': {'sec': 10, 'nanosec': 250_000_000},
        'spans': [{'sec': -1, 'nanosec': 500_000_000}, {'sec': 2}],
        'place': [1.0, 2.0, 3.0],
        'words': ['x', 'y'],
        'main': branch(3),
        'branches': [branch(2), branch(0), branch(1)],
    }
    data = serialized(TREE, store=STORE_OF_TREES, **given)
    return STORE_OF_TREES.deserialize_cdr(data, TREE)


VALUES = {
    'number': -7,
    'name': 'oak',
    'from': True,
    'when': 10.25,
    'when.sec': 10,
    'when.nanosec': 250_000_000,
    'spans': [-0.5, 2.0],
    'spans.sec': [-1, 2],
    'spans[1]': 2.0,
    'spans[2]': None,
    'place': [1.0, 2.0, 3.0],
    'place[2]': 3.0,
    'words': ['x', 'y'],
    'words[0]': 'x',
    'words[7]': None,
    'main.name': 'branch 3',
    'main.lengths': [3.0, 3.5, 4.0],
    'main.lengths[1]': 3.5,
    'main.words': ['a', 'b'],
    'main.when': 3.5,
    'main.leaves.size': [3, 9],
    'main.leaves.cells': [3, 3],
    'main.leaves[0].cells': [3, 3],
    'main.leaves[1].cells': [],
    'main.leaves[0].cells[1]': 3,
    'main.leaves[1].cells[1]': None,
    'branches.number': [2, 0, 1],
    'branches.name': ['branch 2', 'branch 0', 'branch 1'],
    'branches.lengths': [2.0, 2.5, 1.0],
    'branches.lengths[0]': [2.0, 1.0],
    'branches.words': ['a', 'b', 'a'],
    'branches.words[1]': ['b'],
    'branches.when': [2.5, 0.5, 1.5],
    'branches.when.sec': [2, 0, 1],
    'branches.leaves.size': [2, 9, 0, 9, 1, 9],
    'branches.leaves.cells': [2, 2, 0, 0, 1, 1],
    'branches.leaves[1].size': [9, 9, 9],
    'branches[2].name': 'branch 1',
    'branches[2].lengths': [1.0],
    'branches[3].name': None,
    'branches[3].lengths': [],
    'branches[0].leaves.cells[0]': [2],
}


def plain(value):
    """The value as lists and numbers of Python."""
    if isinstance(value, tuple):
        return list(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@pytest.mark.parametrize('path', VALUES)
def test_a_path_reads_what_attributes_and_indices_give(tree, path):
    leaf = leaf_at(path, TREE, STORE_OF_TREES)
    assert leaf.path == path
    assert plain(leaf.reader()(tree)) == VALUES[path]
    assert leaf.many == isinstance(VALUES[path], list)


@pytest.mark.parametrize('path', VALUES)
def test_a_path_through_empty_lists_reads_no_values(serialized, path):
    data = serialized(TREE, store=STORE_OF_TREES)
    empty = STORE_OF_TREES.deserialize_cdr(data, TREE)
    value = leaf_at(path, TREE, STORE_OF_TREES).reader()(empty)
    if path.startswith(('spans', 'words', 'branches')):
        assert plain(value) == ([] if isinstance(VALUES[path], list) else None)
    else:
        assert np.size(value) or path.endswith(('lengths', 'words', 'cells'))


def test_all_leaves_in_the_order_of_their_definition():
    found = {leaf.path: leaf.kind for leaf in leaves_of(TREE, STORE_OF_TREES)}
    inside = ['number', 'name', 'lengths', 'words', 'when', 'leaves.size', 'leaves.cells']
    expected = ['number', 'name', 'from', 'when', 'spans', 'place', 'words']
    expected += [f'{each}.{name}' for each in ('main', 'branches') for name in inside]
    assert list(found) == expected
    assert {path for path, kind in found.items() if kind == 'string'} == {
        *('name', 'words', 'main.name', 'main.words', 'branches.name', 'branches.words')
    }
    assert {path for path, kind in found.items() if kind == 'time'} == {
        *('when', 'spans', 'main.when', 'branches.when')
    }


def test_several_leaves_at_once(tree):
    leaves = [leaf_at(path, TREE, STORE_OF_TREES) for path in VALUES]
    values = reader_of(leaves)(tree)
    assert [plain(value) for value in values] == list(VALUES.values())


def test_the_empty_path_is_the_message(tree):
    leaf = leaf_at('', TREE, STORE_OF_TREES)
    assert (leaf.kind, leaf.message_type, leaf.many) == ('message', TREE, False)
    assert leaf.reader()(tree) is tree


def test_only_the_header_at_the_top_is_left_out():
    paths = [leaf.path for leaf in leaves_of('geometry_msgs/msg/PoseStamped', STORE)]
    assert paths[0] == 'pose.position.x'
    paths = [leaf.path for leaf in leaves_of('tf2_msgs/msg/TFMessage', STORE)]
    assert paths[:2] == ['transforms.header.stamp', 'transforms.header.frame_id']
    paths = [leaf.path for leaf in leaves_of('std_msgs/msg/Header', STORE)]
    assert paths == ['stamp', 'frame_id']
    assert list(leaves_of('std_msgs/msg/Empty', STORE)) == []


@pytest.mark.parametrize(
    ('path', 'told'),
    [
        ('size', "'size': tree_msgs/msg/Tree has no field 'size'; it has number, name, from"),
        ('main.size', "'main.size': tree_msgs/msg/Branch has no field 'size'"),
        ('number.x', "'number.x': number has no field 'x'; it has none"),
        ('when.year', "'when.year': builtin_interfaces/msg/Time has no field 'year'"),
        ('number[0]', r"'number\[0\]' is no array"),
        ('main[0]', r"'main\[0\]' is no array"),
        ('place[3]', r"'place\[3\]': there are at most 3 elements"),
        ('main.words[4]', r"'main.words\[4\]': there are at most 4 elements"),
        ('main..name', "'main..name' is no path: ''"),
        ('.name', "'.name' is no path: ''"),
        ('name.', "'name.' is no path: ''"),
        ('place[-1]', 'is no path'),
        ('place[0:2]', 'is no path'),
        ('place[0][0]', 'is no path'),
        ('place[]', 'is no path'),
        ('main name', 'is no path'),
        ('from_', "has no field 'from_'"),
        ('__class__', "has no field '__class__'"),
    ],
)
def test_a_path_that_is_not_there_is_told(path, told):
    with pytest.raises(PathError, match=told):
        leaf_at(path, TREE, STORE_OF_TREES)
