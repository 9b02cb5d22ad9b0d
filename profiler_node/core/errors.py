"""What can be wrong with a message. Every reason is a counter in the profile."""


class DecodeError(ValueError):
    """A message that cannot be profiled.

    reason: a short fixed word for the counter, such as `truncated`, never built from the data, so
    that bad data cannot make the counters grow.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
