"""What the nodes keep on disk between runs."""

import os
from pathlib import Path

EPOCHS_PER_RUN = 2**16


def state_path(state_dir: str, node_name: str) -> Path:
    """Return the folder of a node; state_dir '' means edge_profiler in ROS's own home.

    node_name: fully qualified, so that nodes of one robot do not share it.
    """
    home = Path(os.environ.get('ROS_HOME') or Path.home() / '.ros') / 'edge_profiler'
    return (Path(state_dir).expanduser() if state_dir else home) / node_name.strip('/')


def first_epoch(folder: Path) -> int:
    """Return 0 at the first call for folder, then 65536, 131072, ... over all runs.

    A restarted profiler may come back within the same window: epochs of its own keep both parts.
    The steps leave room for the epochs that begin within a run. Raises OSError, and ValueError
    where the file holds no number.
    """
    path = folder / 'runs'
    folder.mkdir(parents=True, exist_ok=True)
    try:
        runs = int(path.read_text(encoding='ascii'))
    except FileNotFoundError:
        runs = 0
    except ValueError as error:
        raise ValueError(f'{path} is damaged; delete it to start at epoch 0: {error}') from error
    fresh = path.with_suffix('.new')
    with fresh.open('w', encoding='ascii') as file:
        file.write(str(runs + 1))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return runs * EPOCHS_PER_RUN % 2**32  # the wire has 32 bits for it
