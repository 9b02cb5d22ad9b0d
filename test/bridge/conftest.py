"""An S3 server of moto's, in a process of its own."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

_START_S = 60


@dataclass(frozen=True)
class S3:
    """The server at host:port."""

    host: str

    def client(self, service: str):
        """Return boto3's client for a service, with rights for everything."""
        boto3 = pytest.importorskip('boto3')
        return boto3.client(
            service,
            endpoint_url=f'http://{self.host}',
            region_name='us-east-1',
            aws_access_key_id='root',
            aws_secret_access_key='root',  # noqa: S106
        )

    def check_credentials(self, check: bool) -> None:
        """Check signatures and rights from now on, or let everybody do everything."""
        request = urllib.request.Request(
            f'http://{self.host}/moto-api/reset-auth',
            data=b'0' if check else b'inf',
            headers={'Content-Type': 'text/plain'},
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return all that is in bucket, as another client reads it."""
        s3 = self.client('s3')
        keys = [each['Key'] for each in s3.list_objects_v2(Bucket=bucket).get('Contents', [])]
        return {key: s3.get_object(Bucket=bucket, Key=key)['Body'].read() for key in keys}


@pytest.fixture(scope='session')
def s3_server() -> Iterator[S3]:
    """The server, for as long as the tests last."""
    pytest.importorskip('moto.server', reason='needs moto[s3], flask and flask-cors')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(port)]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd='/'
    ) as process:
        try:
            _wait_until_it_listens(port, process)
            yield S3(f'127.0.0.1:{port}')
        finally:
            process.kill()


def _wait_until_it_listens(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1).close()
        except OSError:
            assert process.poll() is None, 'moto.server has ended'
            assert time.monotonic() < deadline, 'moto.server does not listen'
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def no_credentials(monkeypatch) -> None:
    """An environment without any settings of stores."""
    for name in list(os.environ):
        if name.startswith(('AWS_', 'AZURE_', 'AZURITE_', 'GOOGLE_', 'EDGE_PROFILER_AUTH')):
            monkeypatch.delenv(name)


@pytest.fixture
def s3(s3_server: S3, no_credentials: None, monkeypatch) -> S3:  # noqa: ARG001
    """The server, with the environment of a robot that knows it."""
    for name, value in {
        'AWS_ENDPOINT_URL': f'http://{s3_server.host}',
        'AWS_ALLOW_HTTP': 'true',
        'AWS_REGION': 'us-east-1',
        'AWS_ACCESS_KEY_ID': 'AKIAROBOTROBOT',
        'AWS_SECRET_ACCESS_KEY': 'secret-of-the-robot',
    }.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def bucket(s3: S3, request: pytest.FixtureRequest) -> str:
    """The name of a new bucket."""
    name = f'bucket-{abs(hash(request.node.nodeid)) % 10**12}'
    s3.client('s3').create_bucket(Bucket=name)
    return name


@pytest.fixture
def strict_s3(s3: S3, bucket: str, monkeypatch) -> Iterator[S3]:
    """The server checking credentials; those in the environment may write and nothing else."""
    iam = s3.client('iam')
    iam.create_user(UserName=bucket)
    allowed = {'Effect': 'Allow', 'Action': 's3:PutObject', 'Resource': 'arn:aws:s3:::*/*'}
    policy = json.dumps({'Version': '2012-10-17', 'Statement': [allowed]})
    iam.put_user_policy(UserName=bucket, PolicyName='write', PolicyDocument=policy)
    key = iam.create_access_key(UserName=bucket)['AccessKey']
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', key['AccessKeyId'])
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', key['SecretAccessKey'])
    s3.check_credentials(True)
    yield s3
    s3.check_credentials(False)
