import logging
from collections.abc import Iterator

import pytest

from profiler_node.bridge import spool, uploader


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What the bridge logs. Not by caplog: launch, where it is loaded, stops propagation."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    loggers = [logging.getLogger(module.__name__) for module in (spool, uploader)]
    for logger in loggers:
        logger.addHandler(handler)
    yield messages
    for logger in loggers:
        logger.removeHandler(handler)
