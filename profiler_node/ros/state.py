"""What the nodes keep on disk between runs."""

import os
from pathlib import Path


def state_path(state_dir: str, node_name: str) -> Path:
    """Return the folder of a node; state_dir '' means edge_profiler in ROS's own home.

    node_name: fully qualified, so that nodes of one robot do not share it.
    """
    home = Path(os.environ.get('ROS_HOME') or Path.home() / '.ros') / 'edge_profiler'
    return (Path(state_dir).expanduser() if state_dir else home) / node_name.strip('/')


def next_epoch(folder: Path) -> int:
    """Return 0 at the first call for folder, then 1, 2, ... over all runs.

    A restarted profiler may come back within the same window; a new epoch keeps both parts. Raises
    OSError, and ValueError where the file holds no number.
    """
    path = folder / 'next_epoch'
    folder.mkdir(parents=True, exist_ok=True)
    try:
        epoch = int(path.read_text(encoding='ascii'))
    except FileNotFoundError:
        epoch = 0
    except ValueError as error:
        raise ValueError(f'{path} is damaged; delete it to start at epoch 0: {error}') from error
    fresh = path.with_suffix('.new')
    with fresh.open('w', encoding='ascii') as file:
        file.write(str(epoch + 1))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return epoch
