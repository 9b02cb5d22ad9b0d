"""What the nodes keep on disk between runs."""

import fcntl
import os
from pathlib import Path
from typing import IO

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


def lock(path: Path) -> IO[str] | None:
    """Return the file at path, locked until it is closed or the process has gone.

    None where another process has locked it. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open('a', encoding='ascii')
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return file


def replace_file(path: Path, data: bytes) -> None:
    """Have data in the file at path: all of it, durably, or on OSError what was there before."""
    new = path.with_name(f'{path.name}.new')
    try:
        with new.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)  # on a full disk it would be in the way
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable which files are in folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
