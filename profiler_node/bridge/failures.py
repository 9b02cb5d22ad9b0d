"""What the error of a store means for the object: later, when somebody has acted, or never.

Told by the text of the error: the library has no field for the status, and its classes for it
differ with its version.
"""

import errno
import re
from http import HTTPStatus

from profiler_node.bridge.errors import (
    ConfigurationError,
    RefusedError,
    TransportError,
    UnreachableError,
)
from profiler_node.stores import plain

_REQUEST = re.compile(r'Error performing ([A-Z]+) (\S+) in ')
_STATUS = re.compile(r'non-2xx status code: (\d{3})')
_CODE = re.compile(r'<Code>\s*([\w.]+)\s*</Code>')  # S3, GCS, Azure
_MESSAGE = re.compile(r'<Message>([^<]*)</Message>')
_TLS = re.compile(
    r'\b(InvalidCertificate\(\s*\w+|InvalidMessage|AlertReceived\(\s*\w+|PeerIncompatible)'
)
# What an instance of a cloud is asked for credentials where the environment has none.
_METADATA = (
    *('/latest/api/token', '/latest/meta-data/'),
    *('/computeMetadata/', '/metadata/identity/'),
)
_CAUSES = {  # in the dump of the error's internals
    r'kind: Timeout': 'no answer in time',
    r'failed to lookup address[^"]*': 'the name of the host is not found',
    r'IncompleteMessage': 'the connection was cut',
    r'(?<=message: ")[^"]+': None,  # what the operating system says
}
_NO_CONNECTION = re.compile(r'\bConnect\b')  # of the client library, in the same dump

_OURS = {'PUT', 'MKCOL', 'HEAD'}  # other requests are for credentials
_TO_ACT = {301, 302, 303, 307, 308, 401, 402, 403, 404, 405, 407, 501, 505, 507, 511}
_NEVER = {400, 406, 411, 413, 414, 415, 422, 431}
# Of status 400, but not the object's fault.
_CODES_TO_ACT = {
    *('AuthorizationHeaderMalformed', 'ExpiredToken', 'IllegalLocationConstraintException'),
    *('InvalidAuthenticationInfo', 'InvalidBucketName', 'InvalidToken', 'TokenRefreshRequired'),
}
_CODES_LATER = {
    *('BadDigest', 'IncompleteBody', 'Md5Mismatch', 'RequestTimeout'),
    'XAmzContentSHA256Mismatch',
}
_FILES_TO_ACT = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST),
    errno.ENOSPC,
    errno.EDQUOT,
}


def status_of(error: Exception) -> int | None:
    """Return the HTTP status that the store answered with, None where it did not answer."""
    found = _STATUS.search(plain(error))
    return int(found[1]) if found else None


def code_of(error: Exception) -> str:
    """Return the store's own code for what is wrong, such as AccessDenied; '' without one."""
    found = _CODE.search(plain(error))
    return found[1] if found else ''


def failure(place: str, error: Exception) -> TransportError:
    """Return what to raise for an error of obstore or of the file system at place."""
    kind, text = _judged(error)
    return kind(f'{place}: {text}')


def _judged(error: Exception) -> tuple[type[TransportError], str]:
    if isinstance(error, OSError) and error.errno is not None:
        kind = ConfigurationError if error.errno in _FILES_TO_ACT else TransportError
        return kind, plain(error)
    request = _REQUEST.search(plain(error))
    if request and any(path in request[2] for path in _METADATA):
        return ConfigurationError, 'there are no credentials in the environment'
    method = request[1] if request else ''
    status = status_of(error)
    if status is None:
        return _unanswered(error)
    if method in _OURS or not method:
        return _answered(method, status, code_of(error)), _answer(error, status)
    kind = TransportError if status >= 500 or status == 429 else ConfigurationError
    return kind, f'the credentials are not accepted: {_answer(error, status)}'


def _answered(method: str, status: int, code: str) -> type[TransportError]:
    if code in _CODES_LATER or (method == 'MKCOL' and status == 405):  # made by another, just now
        return TransportError
    if method == 'MKCOL' and status == 409:  # the folder of the URL is not there
        return ConfigurationError
    if status in _TO_ACT or code in _CODES_TO_ACT or code.startswith('KMS.'):
        return ConfigurationError
    return RefusedError if status in _NEVER else TransportError


def _answer(error: Exception, status: int) -> str:
    """Return status, code and message, without the rest of the answer: it may echo credentials."""
    names = {each.value: each.phrase for each in HTTPStatus}
    message = _MESSAGE.search(plain(error))
    parts = (code_of(error), message[1].strip() if message else '')
    return ': '.join(filter(None, (f'{status} {names.get(status, "")}'.strip(), *parts)))


def _unanswered(error: Exception) -> tuple[type[TransportError], str]:
    if tls := _TLS.search(str(error)):
        reason = ' '.join(re.findall(r'\w+', tls[1]))
        return ConfigurationError, (
            f'the store is not trusted ({reason}): check its certificate, SSL_CERT_FILE for those '
            'of your own, and the clock'
        )
    if 'redirect without LOCATION' in str(error):
        return ConfigurationError, 'the bucket is in another region'
    kind = UnreachableError if _NO_CONNECTION.search(str(error)) else TransportError
    for pattern, text in _CAUSES.items():
        if found := re.search(pattern, str(error)):
            return kind, text or found[0]
    return kind, plain(error)
