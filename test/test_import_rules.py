"""The layers of ARCHITECTURE.md: who may import whom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / 'profiler_node'

LAYERS = {
    'settings': set(),
    'stores': set(),
    'health': set(),
    'files': set(),
    'framing': set(),
    'core': {'settings'},
    'wire': {'core', 'framing'},
    'bridge': {'settings', 'stores', 'health', 'files', 'framing'},
    'detect': {'core'},
    'fleet': {'core', 'wire', 'stores'},
    'feed': {'core'},
    'mappings': {'core'},
    'definitions': {'core'},
    'recordings': set(),
    'profiler_config': {'core', 'settings'},
    'bags': {'core', 'feed', 'mappings', 'definitions', 'profiler_config', 'recordings'},
    'settings_file': {'core', 'bags', 'profiler_config', 'settings'},
    'objects': {'bridge'},
    'memory': set(),
    'offline': {'wire', 'bridge', 'bags', 'recordings', 'objects', 'memory'},
    'bag_command': {
        *('stores', 'core', 'fleet', 'mappings', 'profiler_config'),
        *('bags', 'offline', 'recordings', 'settings_file'),
    },
    'frames': set(),
    'collector': {'core', 'frames'},
    'notebook': {'core', 'wire', 'fleet', 'objects', 'frames', 'collector'},
    'pictures': {'core', 'collector'},
    'reference_command': {
        *('stores', 'core', 'wire', 'fleet', 'mappings', 'objects', 'pictures'),
        *('bags', 'recordings', 'settings_file'),
    },
    'diff_command': {
        *('core', 'detect', 'fleet', 'mappings', 'recordings', 'reference_command'),
        'settings_file',
    },
    'merge_command': {'stores', 'wire', 'bridge', 'fleet', 'objects'},
    'cli': {
        *('core', 'wire', 'fleet', 'bridge'),
        *('bag_command', 'diff_command', 'merge_command', 'reference_command'),
    },
    'ros': {
        *('stores', 'memory', 'files', 'profiler_config'),
        *('settings', 'health', 'core', 'wire', 'bridge', 'feed', 'mappings', 'definitions'),
    },
}
# Where a library may be used.
OWNERS = {
    'rclpy': {'ros/'},
    'google': {'wire/codec.py'},
    'sqlite3': {
        'recordings/sqlite.py',
        *(
            f'bridge/{name}.py'
            for name in ('database', 'examine', 'outgoing', 'room', 'spool', 'tables')
        ),
    },
    'obstore': {'stores.py', 'bridge/transport.py', 'fleet/store.py'},
    'datasketches': {'core/sketches.py'},
    'rosbags': {
        *('core/decode.py', 'core/paths.py', 'core/repeats.py', 'core/rows.py'),
        *('core/segments.py', 'core/stream.py', 'core/extract/', 'definitions.py', 'bags.py'),
    },
    'yaml': {'diff_command.py', 'mappings.py', 'settings_file.py', 'recordings/recording.py'},
    'lz4': {'recordings/compression.py'},
    'cv_bridge': {'ros/'},
    'rich': {
        'fleet/show.py',
        'cli.py',
        'bag_command.py',
        'diff_command.py',
        'merge_command.py',
        'reference_command.py',
    },
    **{name: {'ros/'} for name in ('edge_profiler', 'rcl_interfaces', 'std_srvs')},
    **{f'{name}_msgs': {'ros/'} for name in ('diagnostic', 'sensor', 'std')},
}
# All that the core may use: no ROS, file, socket, thread or clock.
PURE = {
    *(
        'array',
        'collections',
        'contextlib',
        'copy',
        'dataclasses',
        'functools',
        'hashlib',
        'itertools',
    ),
    *('math', 'operator', 're', 'statistics', 'struct', 'types', 'typing'),
    *('cv2', 'datasketches', 'numpy', 'rosbags'),
}


def imports(path: Path) -> set[str]:
    """All modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def allowed(path: str, module: str) -> bool:
    """Whether the file at path, in the package, may import module."""
    layer = path.partition('/')[0].removesuffix('.py')
    top, *rest = module.split('.')
    if top == 'profiler_node':
        return rest[0] in LAYERS[layer] | {layer}
    if layer == 'core' and top not in PURE:
        return False
    return top not in OWNERS or path.startswith(tuple(OWNERS[top]))


FILES = sorted(path for path in PACKAGE.rglob('*.py') if path != PACKAGE / '__init__.py')


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_the_layers_below_it(path):
    name = str(path.relative_to(PACKAGE))
    assert [module for module in imports(path) if not allowed(name, module)] == []


@pytest.mark.parametrize(
    ('path', 'module'),
    [
        ('core/windows.py', 'time'),
        ('core/windows.py', 'urllib.request'),
        ('core/windows.py', 'datasketches'),
        ('core/windows.py', 'profiler_node.wire.codec'),
        ('bridge/spool.py', 'profiler_node.core.profile.Profile'),
        ('fleet/show.py', 'rclpy'),
        ('fleet/show.py', 'sensor_msgs.msg'),
        ('wire/codec.py', 'sqlite3'),
    ],
)
def test_the_rules_catch_a_breach(path, module):
    assert not allowed(path, module)
