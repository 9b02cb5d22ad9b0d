"""The layers of ARCHITECTURE.md: who may import whom."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / 'profiler_node'

LAYERS = {
    'settings': set(),
    'core': {'settings'},
    'wire': {'core'},
    'bridge': {'settings'},
    'fleet': {'core', 'wire'},
    'feed': {'core'},
    'bags': {'core', 'wire', 'fleet', 'bridge', 'feed'},
    'cli': {'core', 'wire', 'fleet', 'bridge', 'bags'},
    'ros': {'settings', 'core', 'wire', 'fleet', 'bridge', 'feed', 'bags'},
}
# A library that has one place to be used in.
OWNERS = {
    'rclpy': {'ros'},
    'google': {'wire'},
    'sqlite3': {'bridge'},
    'obstore': {'bridge', 'fleet'},
    'datasketches': {'core'},
    'rich': {'fleet', 'cli'},
}
# No ROS, file, socket, thread or clock in the core.
PURE = {'core'}
IMPURE_MODULES = {'asyncio', 'io', 'os', 'pathlib', 'socket', 'subprocess', 'threading', 'time'}
INTERFACES = {'builtin_interfaces', 'edge_profiler', 'rcl_interfaces', 'sensor_msgs'}


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


def breaches(layer: str, modules: set[str]) -> list[str]:
    """What in modules a file of layer must not import."""
    return [module for module in modules if not allowed(layer, module)]


def allowed(layer: str, module: str) -> bool:
    """Whether a file of layer may import module."""
    top, *rest = module.split('.')
    if top == 'profiler_node':
        return rest[0] in LAYERS[layer] | {layer}
    if layer in PURE and top in IMPURE_MODULES:
        return False
    if layer != 'ros' and top in INTERFACES:
        return False
    return layer in OWNERS.get(top, {layer})


FILES = sorted(path for path in PACKAGE.rglob('*.py') if path != PACKAGE / '__init__.py')


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_the_layers_below_it(path):
    layer = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    assert breaches(layer, imports(path)) == []


@pytest.mark.parametrize(
    ('layer', 'module'),
    [
        ('core', 'time'),
        ('core', 'profiler_node.wire.codec'),
        ('bridge', 'profiler_node.core.profile.Profile'),
        ('fleet', 'rclpy'),
        ('fleet', 'sensor_msgs.msg'),
        ('wire', 'sqlite3'),
    ],
)
def test_the_rules_catch_a_breach(layer, module):
    assert breaches(layer, {module}) == [module]
