"""Files that outlive a power cut, and that one process has alone."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import IO


def replace_file(path: Path, data: bytes, suffix: str = '.new') -> None:
    """Have data in the file at path: all of it, or on OSError what was there before.

    suffix: of the file that becomes it. Its folder is yet to be synced.
    """
    new = path.with_name(f'{path.name}{suffix}')
    try:
        with new.open('wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)  # on a full disk it would be in the way
        raise


def sync(path: Path) -> None:
    """Make a file durable, or which files are in a folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
