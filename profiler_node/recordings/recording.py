"""A recording: one file or a folder of them, whatever their format."""

import hashlib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

import yaml

from profiler_node.recordings import mcap, rosbag1, sqlite
from profiler_node.recordings.compression import (
    ZSTD_MAGIC,
    CompressionError,
    decompress_file,
    decompress_message,
)
from profiler_node.recordings.message import Message, Messages, RecordingError, Span, Topic

_METADATA = 'metadata.yaml'
_NAMES = re.compile(r'.+\.(mcap|db3|bag|bag\.active)(\.zstd)?')
_SORTED_BYTES = 8 * 2**20
_MESSAGE_BYTES = 300  # that a message takes besides its content
_log_ns = attrgetter('log_ns')
_SAMPLES, _SAMPLE_BYTES = 64, 4096  # of a file, for its digest
_NUMBERS = re.compile(r'(\d+)')
_NO_METADATA = (
    *(OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError),
    yaml.YAMLError,
)
_Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)

File = mcap.McapFile | sqlite.SqliteFile | rosbag1.Rosbag1File
_FORMATS: dict[bytes, type[File]] = {
    mcap.MAGIC: mcap.McapFile,
    sqlite.MAGIC[:8]: sqlite.SqliteFile,
    rosbag1.MAGIC[:8]: rosbag1.Rosbag1File,
}


class Recording:
    """All messages of a recording, to be read from front to back, as often as needed.

    path: an MCAP, sqlite3 or ROS 1 file, as it is or packed by zstd, or the folder of a bag.
    problems: what of it is damaged or missing, as found when it was last read, a line each.
    Raises RecordingError where nothing can be read. To be closed, as a context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._missing: list[str] = []
        self._listed_topics: set[tuple[str, str]] = set()  # by name and type
        self._files = self._find()
        self.problems = list(self._missing)
        self.size_bytes = sum(file.stat().st_size for file in self._files)
        self._scratch = TemporaryDirectory(prefix='edge-profiler-')
        self._unpacked: tuple[Path, Path, str] | None = None
        self._before_bytes, self._size_bytes = 0, 0
        self._reader: File | None = None

    def __enter__(self) -> 'Recording':
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was unpacked."""
        self._scratch.cleanup()

    def _find(self) -> list[Path]:
        """Return the files in their order, and note those that are missing."""
        try:
            if not self.path.is_dir():
                self.path.stat()
                return [self.path]
            found = sorted((p for p in self.path.iterdir() if _NAMES.fullmatch(p.name)), key=_order)
        except OSError as error:
            raise RecordingError(f'{self.path}: {error.strerror}') from error
        names = self._listed()
        found = self._chosen(found, names)
        files = [p for p in found if not p.name.endswith('.zstd') or p.with_suffix('') not in found]
        if not files:
            raise RecordingError(f'{self.path} has no file of a recording')
        if names is None and len({_NUMBERS.sub('', p.name) for p in files}) > 1:
            text = ', '.join(p.name for p in files)
            raise RecordingError(f'{self.path} has several recordings; name them: {text}')
        if gone := [name for name in names or () if not self._has(name)]:
            self._missing.append(f'{", ".join(gone)} is missing')
        return files

    def _chosen(self, found: list[Path], names: list[str] | None) -> list[Path]:
        """Return those of the files found that are listed, or all where none is: renamed ones."""
        listed = {name.removesuffix('.zstd') for name in names or ()}
        chosen = [path for path in found if path.name.removesuffix('.zstd') in listed]
        if chosen and (others := [path.name for path in found if path not in chosen]):
            self._missing.append(f'{", ".join(others)} is not in {_METADATA}, and is not read')
        return chosen or found

    def _has(self, name: str) -> bool:
        return any((self.path / each).exists() for each in (name, name.removesuffix('.zstd')))

    def _listed(self) -> list[str] | None:
        """Return the files that the metadata names, None where it does not say."""
        path = self.path / _METADATA
        try:
            content = yaml.load(path.read_text(encoding='utf-8'), _Loader)  # noqa: S506 (a safe one)
            about = content['rosbag2_bagfile_information']
            for each in about.get('topics_with_message_count', ()):
                topic = each['topic_metadata']
                self._listed_topics.add((str(topic['name']), str(topic['type'])))
            return [PurePath(name).name for name in about['relative_file_paths']]
        except FileNotFoundError:
            if any(self.path.glob('*.bag*')):
                return None  # ROS 1 has none
            self._missing.append(f'{_METADATA} is missing')
        except _NO_METADATA as error:
            self._missing.append(f'{_METADATA} is damaged ({type(error).__name__})')
        return None

    @property
    def read_bytes(self) -> int:
        """How many of size_bytes have been read."""
        share = self._reader.progress if self._reader else 0.0
        return self._before_bytes + round(share * self._size_bytes)

    def digest(self) -> str:
        """Return what is the same for a copy of the files alone, by their sizes and parts of them.

        Raises RecordingError.
        """
        found = hashlib.sha256()
        try:
            for path in self._files:
                found.update(_sampled(path))
        except OSError as error:
            raise RecordingError(str(error)) from error
        return found.hexdigest()

    def topics(self) -> list[Topic]:
        """Return all topics, those with several message types as often. Raises RecordingError."""
        found: dict[Topic, None] = {}
        for file in self._readers():
            found |= dict.fromkeys(file.topics())
            known = {(topic.name, topic.message_type) for topic in found}
            if self._unpacked and self._listed_topics and self._listed_topics <= known:
                break  # or all files are unpacked, to find nothing more
        return list(found)

    def messages(self, wanted: Collection[str] | None = None, span: Span | None = None) -> Messages:
        """Yield the messages on the wanted topics, None for all, in the order of their times.

        What is more than 8 MB away from its place stays where it is in the files. A message that
        cannot be decompressed comes as it is. Raises RecordingError.
        """
        return _in_order(self._messages(wanted, span or Span()))

    def _messages(self, wanted: Collection[str] | None, span: Span) -> Messages:
        for file in self._readers():
            try:
                for message in file.messages(wanted, span):
                    if message.data[:4] == ZSTD_MAGIC and message.topic.encoding == 'cdr':
                        yield _unpacked(message)
                    else:
                        yield message
            except OSError as error:  # of the disk
                self.problems.append(f'cannot be read on: {error}')

    def _readers(self) -> Iterator[File]:
        """Yield each file open; of those that cannot be opened it is noted, unless none can."""
        self.problems = list(self._missing)
        self._before_bytes, failed = 0, []
        for path in self._files:
            self._size_bytes = path.stat().st_size
            prefix = f'{path.name}: ' if len(self._files) > 1 else ''
            try:
                with self._open(path, prefix) as self._reader:
                    yield self._reader
            except (RecordingError, OSError) as error:
                failed.append(str(error))
                self.problems.append(str(error))
            self._reader = None
            self._before_bytes += self._size_bytes
        if len(failed) == len(self._files):
            raise RecordingError('; '.join(failed))

    @contextmanager
    def _open(self, path: Path, prefix: str) -> Iterator[File]:
        def note(problem: str) -> None:
            self.problems.append(prefix + problem)

        magic = _magic(path)
        if magic.startswith(ZSTD_MAGIC):
            path = self._unpack(path, prefix)
            magic = _magic(path)
        if magic not in _FORMATS:
            raise RecordingError(f'{path} is neither MCAP nor sqlite3 nor a ROS 1 bag')
        file = _FORMATS[magic](path, note)
        try:
            yield file
        finally:
            file.close()

    def _unpack(self, path: Path, prefix: str) -> Path:
        """Return the file that is packed at path; it is there until another is unpacked."""
        if self._unpacked is None or self._unpacked[0] != path:
            if self._unpacked:
                self._unpacked[1].unlink()
                self._unpacked = None
            target = Path(self._scratch.name, path.stem)
            self._unpacked = path, target, decompress_file(path, target)
        if self._unpacked[2]:
            self.problems.append(prefix + self._unpacked[2])
        return self._unpacked[1]


def _in_order(messages: Messages) -> Messages:
    """Yield messages in the order of their times, as far as those can be compared in memory."""
    waiting: list[Message] = []
    size = 0
    for topic, log_ns, data in messages:
        waiting.append(Message(topic, log_ns, _alone(data)))
        size += len(data) + _MESSAGE_BYTES
        if size > _SORTED_BYTES:
            waiting.sort(key=_log_ns)  # little work where they are in order
            ready = len(waiting) - len(waiting) // 2
            yield from waiting[:ready]
            del waiting[:ready]
            size = sum(len(each.data) + _MESSAGE_BYTES for each in waiting)
    waiting.sort(key=_log_ns)
    yield from waiting


def _alone(data: memoryview) -> memoryview:
    """Return data, copied where it would keep much more in memory: the chunk that it is in."""
    return data if 2 * data.nbytes > len(data.obj) else memoryview(bytes(data))  # type: ignore[arg-type]


def _sampled(path: Path) -> bytes:
    """Return a digest of the size of a file, and of what is evenly spread over it."""
    size = path.stat().st_size
    found = hashlib.sha256(str(size).encode())
    last = max(0, size - _SAMPLE_BYTES)
    with path.open('rb', buffering=0) as file:
        for place in sorted({last * n // (_SAMPLES - 1) for n in range(_SAMPLES)}):
            file.seek(place)
            found.update(file.read(_SAMPLE_BYTES))
    return found.digest()


def _magic(path: Path) -> bytes:
    with path.open('rb') as file:
        return file.read(8)


def _order(path: Path) -> list[str | int]:
    """Return what sorts files by the numbers in their names."""
    return [int(part) if part.isdecimal() else part for part in _NUMBERS.split(path.name)]


def _unpacked(message: Message) -> Message:
    try:
        return message._replace(data=decompress_message(message.data))
    except CompressionError:
        return message


def looks_like_recording(path: Path) -> bool:
    """Whether path is, or is a folder with, files that are named as those of recordings are."""
    if path.is_dir():
        return any(_NAMES.fullmatch(each.name) for each in path.iterdir())
    return _NAMES.fullmatch(path.name) is not None
