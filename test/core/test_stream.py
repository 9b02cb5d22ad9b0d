"""A stream's own errors."""

import pytest

from profiler_node.core.config import SketchConfig, WindowConfig
from profiler_node.core.decode import decoder_for
from profiler_node.core.profile import Source
from profiler_node.core.stream import Stream


def test_a_type_without_extractor_is_refused_by_name():
    source = Source('r', 's', '/s', 'std_msgs/msg/String')
    with pytest.raises(ValueError, match='/s: messages of type std_msgs/msg/String'):
        Stream(source, WindowConfig(), SketchConfig())


def test_an_unknown_type_is_refused_by_name():
    with pytest.raises(ValueError, match='acme_msgs/msg/Thing'):
        decoder_for('acme_msgs/msg/Thing')
