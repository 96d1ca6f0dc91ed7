"""Videos, posters and uploads in S3, R2 or the like.

Objects are private. A user who may have one gets a signed link that is valid for a few minutes, and
fetches the object, by byte ranges, from the store itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as boto
from botocore.config import Config
from django.conf import settings
from django.core.files import File
from s3transfer.exceptions import RetriesExceededError
from storages.backends.s3 import S3Storage

SIGNED_SECONDS = 300  # validity of a signed link, unless said otherwise; it cannot be revoked earlier

# Seconds and attempts. Kept low, because the dispatcher retries anyway and users wait for pages.
PATIENT = {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "total_max_attempts": 3}}
IMPATIENT = {
    "connect_timeout": 2,
    "read_timeout": 2,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}

PART = 8 * 1024**2  # bytes; larger files are sent as multipart uploads with parts of this size

# What the store's error codes mean to the operator.
MEANINGS = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct AWS_STORAGE_BUCKET_NAME",
    "InvalidAccessKeyId": "the key is unknown there: correct AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret is not that of the key: correct AWS_SECRET_ACCESS_KEY",
    "PermanentRedirect": "the bucket lies in another region: correct AWS_S3_REGION_NAME",
    "AuthorizationHeaderMalformed": "the bucket lies in another region: correct AWS_S3_REGION_NAME",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: keep it right by NTP",
}
FORBIDDEN = (
    "the key may not do this: allow it s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject,"
    " s3:DeleteObject and s3:AbortMultipartUpload on all objects in it"
)


class StoreError(OSError):
    """A request to the store failed. An OSError, so that other code treats it like a full disk. The text is for staff."""


class ObjectStore(S3Storage):
    """django-storages' S3 backend, configured by the AWS_… settings.

    Every method that contacts the store raises StoreError, or FileNotFoundError for a missing object.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._connecting = threading.Lock()
        self._connection: Any = None

    def get_default_settings(self) -> dict[str, Any]:
        return super().get_default_settings() | {
            "bucket_name": settings.AWS_STORAGE_BUCKET_NAME,
            "endpoint_url": settings.AWS_S3_ENDPOINT_URL or None,
            "region_name": settings.AWS_S3_REGION_NAME,
            # If empty, boto3 looks for credentials itself, such as an EC2 instance role.
            "access_key": settings.AWS_ACCESS_KEY_ID or None,
            "secret_key": settings.AWS_SECRET_ACCESS_KEY or None,
            "client_config": _client_config(PATIENT),
            # One part of a file in memory at a time, since several files are transferred concurrently.
            "transfer_config": TransferConfig(
                multipart_threshold=PART, multipart_chunksize=PART, use_threads=False
            ),
            "max_memory_size": PART,
            "file_overwrite": False,
            "object_parameters": {"CacheControl": "private, no-store"},
            "querystring_expire": SIGNED_SECONDS,
        }

    @property
    def connection(self) -> Any:
        """One for all threads: it takes 10 MB and 0.1 s to create, and its client is thread-safe."""
        with self._connecting:
            if self._connection is None:
                self._connection = self._create_session().resource(
                    "s3",
                    region_name=self.region_name,
                    endpoint_url=self.endpoint_url,
                    config=self.client_config,
                )
        return self._connection

    @property
    def bucket(self) -> Any:
        """A new one for each use: unlike clients, boto3's resources are not thread-safe."""
        return self.connection.Bucket(self.bucket_name)

    @cached_property
    def impatient(self) -> "ObjectStore":
        """The same store with short timeouts and no retries, for health checks that somebody waits for."""
        return ObjectStore(client_config=_client_config(IMPATIENT), file_overwrite=True)

    def link(
        self, name: str, *, method: str, content_type: str, disposition: str, seconds: int | None = None
    ) -> str:
        """A signed URL that gives access to this object by `method` (GET or HEAD) for so many seconds.

        `seconds` is SIGNED_SECONDS if it is not given.
        """
        headers = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, no-store",
        }
        return self.url(name, parameters=headers, expire=seconds, http_method=method)

    def files(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """The name and time of storage of every object in a folder such as "videos/"."""
        with self._our_errors():
            for stored in self.bucket.objects.filter(Prefix=folder):
                yield stored.key, stored.last_modified

    def exists(self, name: str) -> bool:
        with self._our_errors():
            return super().exists(name)

    def size(self, name: str) -> int:
        with self._our_errors():
            return super().size(name)

    def delete(self, name: str) -> None:
        with self._our_errors():
            super().delete(name)

    def _open(self, name: str, mode: str = "rb") -> File:
        with self._our_errors():
            file = super()._open(name, mode)
            if "r" in mode:
                file.open()  # fetches it, so that errors occur here and not at the first read
            return file

    def _save(self, name: str, content: File) -> str:
        with self._our_errors():
            return super()._save(name, content)

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except (boto.ClientError, boto.BotoCoreError, Boto3Error, RetriesExceededError) as error:
            raise StoreError(f"bucket {self.bucket_name}: {_meaning(error)}") from error


def _client_config(timeouts: dict[str, Any]) -> Config:
    return Config(
        signature_version="s3v4",
        s3={
            # Amazon wants the bucket in the host name; at a custom endpoint, every store supports it in the path.
            "addressing_style": "path" if settings.AWS_S3_ENDPOINT_URL else "virtual",
            # Links point at the regional host, which is what the content security policy allows.
            "us_east_1_regional_endpoint": "regional",
        },
        # Many S3-compatible stores do not support the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=32,
        **timeouts,
    )


def _meaning(error: Exception) -> str:
    if isinstance(error, boto.NoCredentialsError):
        return "no key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError):
        return f"the store does not answer: check AWS_S3_ENDPOINT_URL and the network ({error})"
    if not isinstance(error, boto.ClientError):
        return str(error)
    code = error.response.get("Error", {}).get("Code", "")
    meaning = FORBIDDEN if code in ("AccessDenied", "Forbidden", "403") else MEANINGS.get(code)
    return f"{meaning} ({error})" if meaning else str(error)
