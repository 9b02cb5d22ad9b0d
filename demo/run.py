"""The whole way once, on this machine: run.py [BAG].

A player publishes a recording over DDS, the profiler profiles it, the bridge uploads the profiles
to a store in build/demo/store, and edge-profiler shows them. Each is a process of its own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from domain_coordinator import domain_id
from player import playable
from processes import end, process
from rosbags.highlevel import AnyReader, AnyReaderError
from scene import write_scene

from profiler_node.core.decode import STORE

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / 'build' / 'demo'
NODES = ROOT / 'install' / 'edge_profiler' / 'lib' / 'edge_profiler'

WINDOW_S = 2.0
LONGEST_S = 30.0


def scene_bag() -> Path:
    """Return the generated recording, made at the first call."""
    source = ROOT / 'demo' / 'scene.py'
    folder = DEMO / 'scene'
    if not folder.exists() or folder.stat().st_mtime < source.stat().st_mtime:
        print('Generating a scene of camera, depth, lidar and detections ...', flush=True)
        with scratch('scene-') as fresh:
            write_scene(fresh / 'bag')
            shutil.rmtree(folder, ignore_errors=True)
            (fresh / 'bag').rename(folder)
    return folder


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder of this run's own."""
    DEMO.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=DEMO) as name:
        yield Path(name)


def topics_of(bag: Path) -> list[str]:
    """Return the topics of bag that can be played."""
    try:
        with AnyReader([bag], default_typestore=STORE) as reader:
            if not reader.is2:
                raise SystemExit(f'{bag} is a ROS 1 recording, which DDS cannot carry')
            topics, left_out = playable(reader.connections)
    except (AnyReaderError, OSError) as error:
        raise SystemExit(f'{bag} is no recording that can be read: {error}') from error
    if not topics:
        raise SystemExit(f'{bag} has nothing to play: {", ".join(left_out) or "no topics"}')
    return sorted(topics)


def write_parameters(path: Path, topics: Sequence[str]) -> None:
    """Write the profiler's parameter file: a stream for each topic."""
    names = [topic.lstrip('/') for topic in topics]
    parameters = {
        'use_sim_time': True,
        'robot_id': 'demo-robot',
        'tags': ['site=demo'],
        'window': {'length_s': WINDOW_S},
        'streams': names,
        'stream': {name: {'topic': f'/{name}'} for name in names},
        'state_dir': str(path.parent / 'state'),
    }
    path.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}), encoding='utf-8')


def profile(bag: Path, topics: Sequence[str], store: Path, folder: Path) -> None:
    """Play bag through the nodes into store; folder is for their files."""
    parameters = folder / 'profiler.yaml'
    write_parameters(parameters, topics)
    with (
        process(
            NODES / 'bridge', '--ros-args', '-p', f'store_url:={store}',
            '-p', f'state_dir:={folder}', '-p', 'upload.upload_interval_s:=1.0',
        ) as bridge,
        process(NODES / 'profiler', '--ros-args', '--params-file', parameters) as profiler,
        process(
            sys.executable, ROOT / 'demo' / 'player.py', bag, '--seconds', str(LONGEST_S),
            '--expect', *topics,
        ) as player,
    ):  # fmt: skip
        played = player.wait()
        # In the order of the flow, so that the last windows get through.
        end(profiler)
        end(bridge)
    if played or profiler.returncode or bridge.returncode:
        raise SystemExit(
            f'The demo failed: exit status of the player {played}, of the profiler '
            f'{profiler.returncode}, of the bridge {bridge.returncode}'
        )


def main(arguments: Sequence[str]) -> None:
    """Run the demo on the recording that was named, or on the generated one."""
    bag = Path(arguments[0]).expanduser() if arguments else scene_bag()
    topics = topics_of(bag)
    store = DEMO / 'store'
    started_s = time.monotonic()
    with scratch('run-') as folder, domain_id() as domain:
        # DDS stays on this machine, and in a domain that no other run has.
        os.environ |= {
            'ROS_DOMAIN_ID': str(domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'ROS_STATIC_PEERS': '',
        }
        print(f'Playing {bag} through the nodes (DDS domain {domain}) ...', flush=True)
        profile(bag, topics, folder / 'store', folder)
        shutil.rmtree(store, ignore_errors=True)
        (folder / 'store').rename(store)
    shown = store.relative_to(Path.cwd()) if store.is_relative_to(Path.cwd()) else store
    took_s = time.monotonic() - started_s
    print(f'\n{took_s:.0f} s later, the store {shown} has these profiles:\n', flush=True)
    subprocess.run([NODES / 'edge-profiler', 'show', store], check=True)
    print(f'To see them again: source tools/env.bash && edge-profiler show {shown}')


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
