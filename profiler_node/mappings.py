"""Detection mappings out of YAML files."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from profiler_node.core.extract.detections import DetectionMapping

SHIPPED = Path(__file__).with_name('detections.yaml')
_MAPS = {'where', 'labels'}
_NAMES = {entry.name for entry in fields(DetectionMapping)}


class MappingError(ValueError):
    """A file that holds no detection mappings."""


def read_mappings(path: Path = SHIPPED) -> dict[str, DetectionMapping]:
    """Return the mappings in a file by message type. Raises MappingError, naming what is wrong."""
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise MappingError(f'{path}: {" ".join(str(error).split())}') from error
    if not isinstance(content, dict):
        raise MappingError(f'{path}: there are no message types in it')
    return {str(name): _mapping(f'{path}: {name}', entry) for name, entry in content.items()}


def all_mappings(path: str = '') -> Mapping[str, DetectionMapping]:
    """Return the shipped mappings with those of the file at path over them; '' for none."""
    return read_mappings() | (read_mappings(Path(path).expanduser()) if path else {})


def _mapping(where: str, entry: Any) -> DetectionMapping:
    if not isinstance(entry, dict):
        raise MappingError(f'{where}: must have keys such as items and label')
    if unknown := {str(key) for key in entry} - _NAMES:
        raise MappingError(f'{where}: {", ".join(sorted(unknown))} is not known')
    values: dict[str, Any] = {}
    for key, given in entry.items():
        value: Any = tuple(given) if isinstance(given, list) else given
        if key in _MAPS:
            fits = isinstance(value, dict)
        else:
            paths = value if isinstance(value, tuple) else (value,)
            fits = bool(paths) and all(isinstance(path, str) for path in paths)
        if not fits:
            raise MappingError(f'{where}: {key} is {value!r}')
        values[key] = value
    if values.get('hypotheses') and not {'hypothesis_label', 'hypothesis_score'} <= values.keys():
        raise MappingError(f'{where}: hypotheses need hypothesis_label and hypothesis_score')
    return DetectionMapping(**values)
