"""Stores by URL: where requests go, with which credentials, over which certificates."""

import base64
import datetime
import ipaddress
import json
import logging
import re
import ssl
import traceback
from http import HTTPStatus

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from faults import Fault, FaultyStore, Reply
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from profiler_node.bridge.errors import ConfigurationError, TransportError
from profiler_node.bridge.transport import sender
from profiler_node.stores import StoreUrlError, open_store, shown

KEY = '2026-01-01/robot/a.pb.zst'
BODY = b'body'
TIMEOUT_S = 10.0
AZURE_KEY = base64.b64encode(b'secret of azure').decode()
pytestmark = pytest.mark.usefixtures('no_credentials')


@pytest.mark.parametrize(
    ('url', 'kind', 'settings'),
    [
        ('s3://bucket/prefix', S3Store, {}),
        ('gs://bucket/prefix', GCSStore, {}),
        ('az://container/prefix', AzureStore, {'AZURE_STORAGE_ACCOUNT_NAME': 'account'}),
        ('https://account.blob.core.windows.net/container', AzureStore, {}),
        ('https://bucket.s3.eu-central-1.amazonaws.com', S3Store, {}),
        ('https://host/folder', HTTPStore, {}),
        ('http://host/folder', HTTPStore, {}),
    ],
)
def test_a_url_names_the_kind_of_store(url, kind, settings, monkeypatch):
    for name, value in {'EDGE_PROFILER_AUTHORIZATION': 'Bearer x', **settings}.items():
        monkeypatch.setenv(name, value)
    assert isinstance(open_store(url, TIMEOUT_S), kind)


def test_a_directory_is_made_only_where_that_is_asked_for(tmp_path):
    with pytest.raises(StoreUrlError):
        open_store(str(tmp_path / 'new'), TIMEOUT_S)
    assert isinstance(open_store(str(tmp_path / 'new'), TIMEOUT_S, create=True), LocalStore)


@pytest.mark.parametrize(
    'url', ['ftp://host/x', 's3://', 'nonsense://', 'http://[x', '~nosuchuser/x', 'az://container']
)
def test_a_url_that_is_no_store_is_named(url):
    with pytest.raises(StoreUrlError, match=re.escape(f"store URL '{url}'")) as caught:
        open_store(url, TIMEOUT_S)
    assert 'Debug source' not in str(caught.value)


@pytest.mark.parametrize(
    ('url', 'text'),
    [
        ('https://user:pass@host/a', 'https://host/a'),
        ('https://token@host/a@b', 'https://host/a@b'),
        ('https://user:p/ss@host/a', 'https://host/a'),
        ('https://host:80/a@b', 'https://host:80/a@b'),
        ('s3://id:secret@bucket/x', 's3://bucket/x'),
        ('https://host/a?sig=secret&b#c', 'https://host/a'),
        ('/a/b@c?d', '/a/b@c?d'),
    ],
)
def test_a_url_is_shown_without_credentials(url, text):
    assert shown(url) == text


@pytest.mark.parametrize('scheme', ['ftp', 'http', 's3'])
def test_a_wrong_url_is_told_without_its_credentials(scheme):
    url = f'{scheme}://user:pass@[x/?sig=secret'
    with pytest.raises(StoreUrlError) as caught:
        open_store(url, TIMEOUT_S)
    text = ''.join(traceback.format_exception(caught.value))
    assert [secret for secret in ('user', 'pass@', 'secret') if secret in text] == []


# Credentials


@pytest.mark.parametrize(
    ('user', 'setting', 'sent'),
    [
        ('', None, None),
        ('', 'Bearer abc', 'Bearer abc'),
        ('us%40er:p%3Ass@', 'Bearer abc', 'us@er:p:ss'),
        ('token@', None, 'token:'),
    ],
)
def test_credentials_for_http_are_in_a_header(user, setting, sent, monkeypatch):
    if setting:
        monkeypatch.setenv('EDGE_PROFILER_AUTHORIZATION', setting)
    with FaultyStore() as store:
        sender(store.url.replace('://', f'://{user}'), TIMEOUT_S)(KEY, BODY)
        if user:
            sent = f'Basic {base64.b64encode(sent.encode()).decode()}'
        assert {request.headers.get('authorization') for request in store.requests} == {sent}
        assert store.objects == {KEY: BODY}


def test_http_credentials_are_not_sent_to_other_stores(monkeypatch):
    monkeypatch.setenv('EDGE_PROFILER_AUTHORIZATION', 'Bearer abc')
    with FaultyStore(webdav=False) as store:
        for name, value in {
            'AWS_ENDPOINT_URL': store.url,
            'AWS_ALLOW_HTTP': '1',
            'AWS_ACCESS_KEY_ID': 'AKIAROBOTROBOT',
            'AWS_SECRET_ACCESS_KEY': 'secret-of-the-robot',
        }.items():
            monkeypatch.setenv(name, value)
        sender('s3://bucket', TIMEOUT_S)(KEY, BODY)
        assert store.requests[0].headers['authorization'].startswith('AWS4-HMAC-SHA256')


def azure(url):
    return {
        'AZURE_STORAGE_ACCOUNT_NAME': 'account',
        'AZURE_STORAGE_ACCOUNT_KEY': AZURE_KEY,
        'AZURE_STORAGE_ENDPOINT': url,
        'AZURE_ALLOW_HTTP': 'true',
    }


def azure_by_token(url):
    settings = azure(url) | {'AZURE_STORAGE_SAS_TOKEN': 'sv=2023&sig=secretsignature'}
    del settings['AZURE_STORAGE_ACCOUNT_KEY']
    return settings


def google(url):
    account = {'gcs_base_url': url, 'disable_oauth': True}
    names = ('client_email', 'private_key', 'private_key_id')
    account = json.dumps(account | dict.fromkeys(names, ''))
    return {'GOOGLE_SERVICE_ACCOUNT_KEY': account, 'GOOGLE_ALLOW_HTTP': 'true'}


CLOUDS = [
    ('az://container/pre', azure, f'container/pre/{KEY}', {'if-none-match': '*'}),
    ('az://container/pre', azure_by_token, f'container/pre/{KEY}', {'x-ms-blob-type': 'BlockBlob'}),
    ('gs://bucket/pre', google, f'bucket/pre/{KEY}', {'x-goog-if-generation-match': '0'}),
]


@pytest.fixture(params=CLOUDS, ids=['azure', 'azure_by_token', 'google'])
def cloud(request, monkeypatch):
    """A server in the place of a cloud, the URL of a store there, a path and headers to expect."""
    url, settings, path, headers = request.param
    with FaultyStore(webdav=False) as store:
        for name, value in settings(store.url).items():
            monkeypatch.setenv(name, value)
        yield store, url, path, headers


def test_other_clouds_get_objects_that_are_not_there_yet(cloud):
    store, url, path, headers = cloud
    sender(url, TIMEOUT_S)(KEY, BODY)
    (request,) = store.requests
    assert request.method == 'PUT'
    assert headers.items() <= request.headers.items()
    assert store.objects == {path: BODY}


@pytest.mark.parametrize(
    ('status', 'code', 'kind'),
    [
        (403, 'AuthenticationFailed', ConfigurationError),
        (404, 'ContainerNotFound', ConfigurationError),
        (503, 'ServerBusy', TransportError),
    ],
)
def test_errors_of_other_clouds_are_told_without_credentials(cloud, status, code, kind):
    store, url, _, _ = cloud
    store.fault = HTTPStatus(status)
    secrets = [AZURE_KEY, 'secretsignature', 'sig=']
    store.error_body = (
        f'<Error><Code>{code}</Code><Message>why</Message>'
        f'<AuthenticationErrorDetail>{" ".join(secrets)}</AuthenticationErrorDetail></Error>'
    ).encode()
    with pytest.raises(TransportError, match=f': {status} ') as caught:
        sender(url, TIMEOUT_S)(KEY, BODY)
    assert caught.type is kind
    assert f': {code}: why' in str(caught.value) or status >= 500  # told by newer obstore alone
    text = ''.join(traceback.format_exception(caught.value))
    assert [secret for secret in secrets if secret in text] == []


def test_azure_says_with_409_that_an_object_is_there(monkeypatch):
    with FaultyStore(webdav=False) as store:
        for name, value in azure(store.url).items():
            monkeypatch.setenv(name, value)
        send = sender('az://container', TIMEOUT_S)
        there = Reply(HTTPStatus.CONFLICT, body=b'<Error><Code>BlobAlreadyExists</Code></Error>')
        hidden = Reply(HTTPStatus.FORBIDDEN)
        store.script = lambda request: there if request.method == 'PUT' else hidden
        send(KEY, BODY)
        assert [request.method for request in store.requests] == ['PUT', 'HEAD']
        store.script = lambda request: there if request.method == 'PUT' else None
        with pytest.raises(TransportError, match='409 Conflict'):  # said to be there, but is not
            send(KEY, BODY)


# Certificates


def make_key():
    return ec.generate_private_key(ec.SECP256R1())


def certificate(name, key, issuer, issuer_key, *, authority, valid_from=-1, valid_to=1):
    """A certificate for 127.0.0.1, valid from and to so many days from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    address = x509.IPAddress(ipaddress.ip_address('127.0.0.1'))
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=valid_from))
        .not_valid_after(now + datetime.timedelta(days=valid_to))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


@pytest.fixture
def tls(tmp_path):
    """What makes a server's TLS context, and the file with the authority it is signed by."""
    authority_key, key = make_key(), make_key()
    authority = certificate('ca', authority_key, 'ca', authority_key, authority=True)
    file = tmp_path / 'ca.pem'
    file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))

    def make(*, self_signed=False, **validity) -> ssl.SSLContext:
        signer = ('host', key) if self_signed else ('ca', authority_key)
        own = certificate('host', key, *signer, authority=False, **validity)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        pem = tmp_path / 'host.pem'
        pem.write_bytes(private + own.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    return make, file


def test_a_private_authority_is_trusted_by_the_environment(tls, monkeypatch):
    make, authority = tls
    monkeypatch.setenv('SSL_CERT_FILE', str(authority))
    with FaultyStore(tls=make()) as store:
        sender(store.url, TIMEOUT_S)(KEY, BODY)
        assert store.objects == {KEY: BODY}


@pytest.mark.parametrize('scheme', ['http', 's3'])
@pytest.mark.parametrize(
    ('trusted', 'options', 'reason'),
    [
        (False, {}, 'UnknownIssuer'),
        (False, {'self_signed': True}, 'UnknownIssuer'),
        (True, {'self_signed': True}, 'UnknownIssuer'),
        (True, {'valid_from': -3, 'valid_to': -2}, 'Expired'),
        (True, {'valid_from': 2, 'valid_to': 3}, 'NotValidYet'),
    ],
)
def test_a_server_that_cannot_be_trusted_gets_nothing(
    tls, monkeypatch, scheme, trusted, options, reason
):
    make, authority = tls
    if trusted:
        monkeypatch.setenv('SSL_CERT_FILE', str(authority))
    with FaultyStore(tls=make(**options), webdav=False) as store:
        monkeypatch.setenv('AWS_ENDPOINT_URL', store.url)
        monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'AKIAROBOTROBOT')
        monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'secret-of-the-robot')
        send = sender(store.url if scheme == 'http' else 's3://bucket', TIMEOUT_S)
        with pytest.raises(ConfigurationError, match=f'not trusted .*{reason}'):
            send(KEY, BODY)
        assert store.requests == []


def test_a_certificate_of_another_host_is_refused(tls, monkeypatch):
    make, authority = tls
    monkeypatch.setenv('SSL_CERT_FILE', str(authority))
    with FaultyStore(tls=make()) as store:
        send = sender(f'https://localhost:{store.port}', TIMEOUT_S)
        with pytest.raises(ConfigurationError, match=r'not trusted .*NotValidForName'):
            send(KEY, BODY)


def test_https_to_a_server_without_it_is_a_matter_of_configuration():
    with FaultyStore() as store, pytest.raises(ConfigurationError, match='InvalidMessage'):
        sender(store.url.replace('http', 'https'), TIMEOUT_S)(KEY, BODY)


def test_http_without_tls_has_to_be_asked_for(s3, bucket, monkeypatch):
    monkeypatch.delenv('AWS_ALLOW_HTTP')
    with pytest.raises(TransportError):
        sender(f's3://{bucket}', TIMEOUT_S)(KEY, BODY)
    assert s3.objects(bucket) == {}


def test_nothing_is_logged_but_what_is_raised(caplog):
    caplog.set_level(logging.DEBUG)
    with FaultyStore() as store:
        store.fault = Fault.REFUSED
        send = sender(store.url.replace('://', '://user:pass@'), TIMEOUT_S)
        with pytest.raises(TransportError):
            send(KEY, BODY)
    assert 'pass' not in caplog.text
