"""What can go wrong between a profile and the store. Nothing that was accepted is lost by it."""


class BridgeError(Exception):
    """Any of the errors here."""


class SpoolError(BridgeError):
    """The robot's disk did not do what was asked: full, read-only, damaged."""


class TransportError(BridgeError):
    """The store did not confirm an object. It is kept and sent again."""


class UnreachableError(TransportError):
    """There was no connection to the store: not a byte of the object has left."""


class ConfigurationError(TransportError):
    """The store takes no object until somebody acts, so there is no hurry to send it again.

    Credentials that are missing, wrong, expired or without the right; no such bucket or folder; a
    wrong URL or region; a certificate that is not trusted; a store that is full.
    """


class RefusedError(TransportError):
    """The store refuses this very object, and will again. Others may go through."""
