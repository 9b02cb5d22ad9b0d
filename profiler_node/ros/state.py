"""What the nodes keep on disk between runs."""

import fcntl
import os
from pathlib import Path

EPOCHS_PER_RUN = 2**16


def state_path(state_dir: str) -> Path:
    """Return the folder for what outlives a restart; '' means edge_profiler in ROS's own home."""
    home = Path(os.environ.get('ROS_HOME') or Path.home() / '.ros') / 'edge_profiler'
    return Path(state_dir).expanduser() if state_dir else home


def first_epoch(folder: Path) -> int:
    """Return 0 at the first call for folder, then 65536, 131072, ... over all runs.

    A profiler that is restarted within a window, or one beside it with a stream of the same name,
    has epochs of its own, so that both parts are kept. The steps leave room for the epochs that
    begin within a run. Raises OSError, and ValueError where the file holds no number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'runs'
    with path.open('a+', encoding='ascii') as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        file.seek(0)
        try:
            runs = int(file.read() or 0)
        except ValueError as error:
            raise ValueError(
                f'{path} is damaged; delete it to start at epoch 0: {error}'
            ) from error
        file.seek(0)
        file.truncate()
        file.write(str(runs + 1))
        file.flush()
        os.fsync(file.fileno())
    return runs * EPOCHS_PER_RUN % 2**32  # the wire has 32 bits for it
