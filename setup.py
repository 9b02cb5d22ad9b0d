"""Installs the library and the edge-profiler command on a machine without ROS: pip install .

The ROS build does not use this file: see CMakeLists.txt.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / 'tools'))

from compile_proto import compile_proto  # noqa: E402


class BuildWithDescriptor(build_py):
    """Adds the descriptor set of the wire format to the package."""

    def run(self) -> None:
        """Build the package, then compile profile.proto into it."""
        super().run()
        wire = Path('profiler_node/wire')
        root = HERE if self.editable_mode else Path(self.build_lib)
        compile_proto(HERE / wire / 'profile.proto', root / wire / 'profile.binpb')


def requirements(*names: str) -> list[str]:
    """Return the lines of requirement files, without comments."""
    lines = [line for name in names for line in (HERE / name).read_text('utf-8').splitlines()]
    return [line for line in lines if line and not line.startswith('#')]


manifest = ElementTree.parse(HERE / 'package.xml').getroot()  # noqa: S314 (our own file)
setup(
    name='edge-profiler',
    version=manifest.findtext('version'),
    description=' '.join(manifest.findtext('description', '').split()),
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['profiler_node', 'profiler_node.*']),
    package_data={'profiler_node': ['py.typed', 'detections.yaml', 'wire/*.proto']},
    python_requires='>=3.10',
    install_requires=requirements('requirements.txt', 'tools/requirements/library.txt'),
    entry_points={'console_scripts': ['edge-profiler = profiler_node.cli:main']},
    cmdclass={'build_py': BuildWithDescriptor},
)
