"""A real S3 server, moto's, in a process of its own: it forgets everything when it stops."""

import subprocess
import sys
import time
from typing import Any

import boto3
from botocore.config import Config

from tests.support.fixtures import TEST_TIMEOUT
from tests.support.installation import free_port, listens

BUCKET = "videos-of-a-test"
KEY = "test-key"


class S3Server:
    """Start with `with S3Server() as server:`; `settings` are what an installation needs to use it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {
            "AWS_STORAGE_BUCKET_NAME": BUCKET,
            "AWS_S3_ENDPOINT_URL": self.url,
            "AWS_S3_REGION_NAME": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": "test-secret",
        }

    def __enter__(self) -> "S3Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """With the bucket, empty."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + TEST_TIMEOUT
        while not listens(self.port):
            assert self.process.poll() is None, "the S3 server ended"
            assert time.monotonic() < end, "the S3 server does not listen"
            time.sleep(0.05)
        self.client().create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TEST_TIMEOUT)

    def empty(self) -> None:
        for name in self.names():
            self.client().delete_object(Bucket=BUCKET, Key=name)

    def names(self) -> list[str]:
        """Of all objects in the bucket."""
        found = self.client().list_objects_v2(Bucket=BUCKET)
        return [stored["Key"] for stored in found.get("Contents", [])]

    def make_user_without_rights(self) -> tuple[str, str]:
        """A key and its secret, known to the server, that may do nothing."""
        iam = self.client("iam")
        iam.create_user(UserName="nobody")
        key = iam.create_access_key(UserName="nobody")["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY,
            aws_secret_access_key="test-secret",
            config=Config(s3={"addressing_style": "path"}),
        )
