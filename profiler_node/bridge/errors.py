"""What can go wrong between a profile and the store. Nothing that was accepted is lost by it."""


class BridgeError(Exception):
    """Any of the errors here."""


class SpoolError(BridgeError):
    """The robot's disk did not do what was asked: full, read-only, damaged."""


class TransportError(BridgeError):
    """The store did not confirm an object. It is kept and sent again."""
