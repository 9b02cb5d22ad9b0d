"""Mapping files, and what is wrong with them."""

import pytest

from profiler_node.core.extract.detections import DetectionMapping
from profiler_node.mappings import MappingError, all_mappings, read_mappings

TYPE = 'box_msgs/msg/Boxes'


@pytest.fixture
def file(tmp_path):
    """Writes a mapping file."""

    def write(text):
        path = tmp_path / 'detections.yaml'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_shipped_mappings_are_for_the_types_that_are_promised():
    assert read_mappings().keys() >= {
        'vision_msgs/msg/Detection2DArray',
        'vision_msgs/msg/Detection3DArray',
        'vision_msgs/msg/BoundingBox2DArray',
        'vision_msgs/msg/BoundingBox3DArray',
        'autoware_perception_msgs/msg/DetectedObjects',
        'autoware_auto_perception_msgs/msg/DetectedObjects',
        'yolo_msgs/msg/DetectionArray',
        'depthai_ros_msgs/msg/SpatialDetectionArray',
        'geometry_msgs/msg/PolygonStamped',
        'foxglove_msgs/msg/ImageAnnotations',
    }


def test_a_file_is_read_as_it_is_written(file):
    path = file(f"""
{TYPE}:
  items: boxes
  where: {{kind: [1, 2.5, true, four]}}
  label: [name, class.name]
  labels: {{0: car, 1: truck, x: y, true: yes it is}}
  width: size[0]
""")
    assert read_mappings(path) == {
        TYPE: DetectionMapping(
            items='boxes',
            where={'kind': [1, 2.5, True, 'four']},
            label=('name', 'class.name'),
            labels={0: 'car', 1: 'yes it is', 'x': 'y'},
            width='size[0]',
        )
    }


def test_a_file_of_ones_own_adds_types_and_takes_the_place_of_shipped_ones(file):
    shipped = read_mappings()
    path = file(f'{TYPE}: {{items: boxes}}\nyolo_msgs/msg/DetectionArray: {{items: others}}')
    assert all_mappings() == shipped
    assert all_mappings(str(path)) == shipped | {
        TYPE: DetectionMapping(items='boxes'),
        'yolo_msgs/msg/DetectionArray': DetectionMapping(items='others'),
    }


def test_a_file_in_the_home_folder(file, monkeypatch):
    path = file(f'{TYPE}: {{items: boxes}}')
    monkeypatch.setenv('HOME', str(path.parent))
    assert TYPE in all_mappings(f'~/{path.name}')


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('', 'there are no message types in it'),
        ('# nothing', 'there are no message types in it'),
        ('{}', 'there are no message types in it'),
        ('- a', 'there are no message types in it'),
        ('text', 'there are no message types in it'),
        (b'\xff\xfe\x00', 'decode'),
        ('a: [', 'expected'),
        ('a: b: c', 'mapping values are not allowed'),
        ('? [a]\n: b', 'unhashable'),
        ('!!python/object:os.system {}', 'could not determine a constructor'),
        pytest.param('[' * 500, 'recursion', id='deeply nested'),
        ('Boxes: {items: boxes}', 'Boxes is no message type'),
        ('box_msgs/Boxes: {items: boxes}', 'box_msgs/Boxes is no message type'),
        ('7: {items: boxes}', '7 is no message type'),
        (f'{TYPE}:', f'{TYPE}: must have keys'),
        (f'{TYPE}: {{}}', f'{TYPE}: must have keys'),
        (f'{TYPE}: [items]', f'{TYPE}: must have keys'),
        (f'{TYPE}: {{item: boxes, 3: x}}', f'{TYPE}: 3, item is not known'),
        (f'{TYPE}: {{items: 7}}', f'{TYPE}: items is 7'),
        (f'{TYPE}: {{items: null}}', f'{TYPE}: items is None'),
        (f'{TYPE}: {{items: []}}', rf'{TYPE}: items is \(\)'),
        (f'{TYPE}: {{score: [a, 7]}}', rf"{TYPE}: score is \('a', 7\)"),
        (f'{TYPE}: {{score: {{a: b}}}}', f'{TYPE}: score is {{'),
        (f'{TYPE}: {{where: kind}}', f"{TYPE}: where is 'kind'"),
        (f'{TYPE}: {{where: {{kind: 7}}}}', f"{TYPE}: where is {{'kind': 7}}"),
        (f'{TYPE}: {{where: {{kind: [null]}}}}', f'{TYPE}: where is'),
        (f'{TYPE}: {{where: {{kind: [[7]]}}}}', f'{TYPE}: where is'),
        (f'{TYPE}: {{where: {{7: [7]}}}}', f'{TYPE}: where is'),
        (f'{TYPE}: {{label: a, labels: [car]}}', rf"{TYPE}: labels is \('car',\)"),
        (f'{TYPE}: {{label: a, labels: {{0: no}}}}', f'{TYPE}: labels is {{0: False}}'),
        (f'{TYPE}: {{label: a, labels: {{0: 1}}}}', f'{TYPE}: labels is'),
        (f'{TYPE}: {{label: a, labels: {{null: x}}}}', f'{TYPE}: labels is'),
        (f'{TYPE}: {{labels: {{0: x}}}}', f'{TYPE}: labels need label or hypotheses'),
        (f'{TYPE}: {{hypotheses: a}}', 'hypothesis_label, hypothesis_score is missing'),
        (f'{TYPE}: {{hypotheses: a, hypothesis_label: b}}', 'hypothesis_score is missing'),
        (f'{TYPE}: {{hypothesis_label: b, hypothesis_score: c}}', 'hypotheses is missing'),
    ],
)
def test_what_is_wrong_with_a_file_is_told(file, text, told):
    path = file(text)
    with pytest.raises(MappingError, match=told) as error:
        all_mappings(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize('path', ['nothing.yaml', '.', '~nobody_of_that_name/x', 'a\0b'])
def test_a_file_that_is_not_there_is_told(path):
    with pytest.raises(MappingError):
        all_mappings(path)
