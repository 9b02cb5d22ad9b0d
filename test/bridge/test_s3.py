"""Objects into a real S3 server."""

import pytest
from faults import Fault, FaultyStore, Reply

from profiler_node.bridge.errors import ConfigurationError, RefusedError, TransportError
from profiler_node.bridge.transport import sender

KEY = '2026-01-01/robot/a.pb.zst'
BODY = bytes(range(256)) * 40
TIMEOUT_S = 20.0


def test_objects_are_put_below_the_prefix_of_the_url(s3, bucket):
    send = sender(f's3://{bucket}/fleet/one', TIMEOUT_S)
    send(KEY, BODY)
    send('b', b'')
    assert s3.objects(bucket) == {f'fleet/one/{KEY}': BODY, 'fleet/one/b': b''}


def test_an_object_is_one_request_however_large(s3, bucket, monkeypatch):
    """Parts of an upload that was cut short would stay in the bucket, and be paid for."""
    body = BODY * 800  # 8 MB
    with FaultyStore(upstream=s3.host) as store:
        monkeypatch.setenv('AWS_ENDPOINT_URL', store.url)
        sender(f's3://{bucket}', TIMEOUT_S)(KEY, body)
        assert [request.method for request in store.requests] == ['PUT']
        assert store.requests[0].headers['if-none-match'] == '*'
    assert s3.objects(bucket) == {KEY: body}


def test_the_right_to_write_is_enough(strict_s3, bucket):
    """Also for an object that is there already, which may not be looked at then."""
    send = sender(f's3://{bucket}', TIMEOUT_S)
    send(KEY, BODY)
    send(KEY, BODY)
    strict_s3.check_credentials(False)
    assert strict_s3.objects(bucket) == {KEY: BODY}


@pytest.mark.parametrize(
    ('setting', 'value', 'code'),
    [
        ('AWS_SECRET_ACCESS_KEY', 'not-the-secret', 'SignatureDoesNotMatch'),
        ('AWS_ACCESS_KEY_ID', 'AKIANOBODYNOBODY', 'InvalidAccessKeyId'),
    ],
)
def test_wrong_credentials_are_named_but_not_shown(
    strict_s3, bucket, monkeypatch, setting, value, code
):
    monkeypatch.setenv(setting, value)
    with pytest.raises(ConfigurationError, match=f's3://{bucket}: {KEY}: 403.*{code}') as caught:
        sender(f's3://{bucket}', TIMEOUT_S)(KEY, BODY)
    assert value not in str(caught.value)
    strict_s3.check_credentials(False)
    assert strict_s3.objects(bucket) == {}


def test_credentials_without_the_right_are_a_matter_of_configuration(strict_s3, bucket):
    strict_s3.check_credentials(False)
    strict_s3.client('iam').delete_user_policy(UserName=bucket, PolicyName='write')
    strict_s3.check_credentials(True)
    with pytest.raises(ConfigurationError, match='403 Forbidden: AccessDenied'):
        sender(f's3://{bucket}', TIMEOUT_S)(KEY, BODY)


@pytest.mark.usefixtures('s3')
def test_missing_credentials_are_told(monkeypatch):
    """What a machine of Amazon's would be asked for them is not there."""
    monkeypatch.delenv('AWS_ACCESS_KEY_ID')
    monkeypatch.delenv('AWS_SECRET_ACCESS_KEY')
    with FaultyStore() as nothing:
        monkeypatch.setenv('AWS_METADATA_ENDPOINT', nothing.url)
        for fault in (None, Fault.REFUSED):
            nothing.fault = fault
            with pytest.raises(ConfigurationError, match='no credentials in the environment'):
                sender('s3://bucket', TIMEOUT_S)(KEY, BODY)


@pytest.mark.usefixtures('s3')
def test_a_bucket_that_is_not_there_is_a_matter_of_configuration():
    with pytest.raises(ConfigurationError, match='404 Not Found: NoSuchBucket'):
        sender('s3://no-such-bucket', TIMEOUT_S)(KEY, BODY)


def test_another_object_under_the_key_is_not_replaced(s3, bucket):
    send = sender(f's3://{bucket}', TIMEOUT_S)
    s3.client('s3').put_object(Bucket=bucket, Key=KEY, Body=b'another')
    with pytest.raises(RefusedError, match='another object, of 7 bytes'):
        send(KEY, BODY)
    assert s3.objects(bucket) == {KEY: b'another'}


def test_a_conflict_with_nothing_there_is_no_confirmation(s3, bucket, monkeypatch):
    """S3 answers 409 where another request for the key is under way."""
    with FaultyStore(upstream=s3.host) as store:
        monkeypatch.setenv('AWS_ENDPOINT_URL', store.url)
        send = sender(f's3://{bucket}', TIMEOUT_S)
        store.script = lambda request: Reply(409) if request.method == 'PUT' else None
        with pytest.raises(TransportError, match='409 Conflict') as caught:
            send(KEY, BODY)
        assert caught.type is TransportError
        store.script = None
        send(KEY, BODY)
    assert s3.objects(bucket) == {KEY: BODY}


@pytest.mark.parametrize('fault', [Fault.NO_CONDITIONS, Fault.IGNORED_CONDITIONS])
def test_stores_without_conditional_writes_take_objects(s3, bucket, monkeypatch, fault):
    with FaultyStore(upstream=s3.host) as store:
        monkeypatch.setenv('AWS_ENDPOINT_URL', store.url)
        send = sender(f's3://{bucket}', TIMEOUT_S)
        store.fault = fault
        send(KEY, BODY)
        first = len(store.puts())
        send('b', b'body')
        send(KEY, BODY)
        refused = fault is Fault.NO_CONDITIONS
        assert (first, len(store.puts())) == ((2, 4) if refused else (1, 3))  # asked once, not more
    assert s3.objects(bucket) == {KEY: BODY, 'b': b'body'}


def test_conditional_writes_can_be_switched_off(s3, bucket, monkeypatch):
    monkeypatch.setenv('AWS_CONDITIONAL_PUT', 'disabled')
    with FaultyStore(upstream=s3.host) as store:
        monkeypatch.setenv('AWS_ENDPOINT_URL', store.url)
        sender(f's3://{bucket}', TIMEOUT_S)(KEY, BODY)
        assert ['if-none-match' in request.headers for request in store.requests] == [False]
    assert s3.objects(bucket) == {KEY: BODY}
