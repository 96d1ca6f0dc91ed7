"""Videos, posters and uploads in S3, R2 or the like.

Objects are private. Whoever may have one gets a link that is signed for it and for a few minutes, and
fetches it, by byte ranges, from the store itself.
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

LINK_SECONDS = 300  # how long a signed link opens its object, even after its owner has lost the right to it

# Seconds and tries. The pump tries again by itself, and people sit before a page.
PATIENT = {"connect_timeout": 5, "read_timeout": 20, "retries": {"mode": "standard", "total_max_attempts": 3}}
IMPATIENT = {
    "connect_timeout": 2,
    "read_timeout": 2,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}

PART = 8 * 1024**2  # bytes; larger files travel in parts of this size

# What an answer of the store means to the person who set it up.
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
    """The store did not do what it was asked: for the rest of the code, what a full disk is. The text is for staff."""


class ObjectStore(S3Storage):
    """django-storages' S3 as this project wants it. The settings AWS_… say which bucket, where and with what key.

    Everything that asks the store raises StoreError, and FileNotFoundError for what is not there.
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
            # Empty: what boto3 finds by itself, such as the role of a machine at Amazon.
            "access_key": settings.AWS_ACCESS_KEY_ID or None,
            "secret_key": settings.AWS_SECRET_ACCESS_KEY or None,
            "client_config": _client_config(PATIENT),
            # One part of a file in memory at a time, since several files are on their way at once.
            "transfer_config": TransferConfig(
                multipart_threshold=PART, multipart_chunksize=PART, use_threads=False
            ),
            "max_memory_size": PART,
            "file_overwrite": False,
            "object_parameters": {"CacheControl": "private, no-store"},
            "querystring_expire": LINK_SECONDS,
        }

    @property
    def connection(self) -> Any:
        """One for all threads: each costs 10 MB and a tenth of a second, and its client may be shared."""
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
        """A new one at each use: other than the client, boto3's resources are not for several threads."""
        return self.connection.Bucket(self.bucket_name)

    @cached_property
    def impatient(self) -> "ObjectStore":
        """The same store, asked once and not for long: for checks, which somebody waits for and nobody's names."""
        return ObjectStore(client_config=_client_config(IMPATIENT), file_overwrite=True)

    def link(self, name: str, *, method: str, content_type: str, disposition: str) -> str:
        """A URL that opens this one object to whoever has it, by `method` (GET or HEAD), for LINK_SECONDS."""
        said = {
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
            "ResponseCacheControl": "private, no-store",
        }
        return self.url(name, parameters=said, http_method=method)

    def files(self, folder: str) -> Iterator[tuple[str, datetime]]:
        """The name of every object in a folder such as "videos/", and when it was stored."""
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
                file.open()  # fetches it, so that nothing goes wrong later and elsewhere
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


def _client_config(patience: dict[str, Any]) -> Config:
    return Config(
        signature_version="s3v4",
        s3={
            # Amazon wants the bucket in the host's name; at an address of its own, every store knows it in the path.
            "addressing_style": "path" if settings.AWS_S3_ENDPOINT_URL else "virtual",
            # Links point at the region's own host, as everywhere else, which is what pages may show.
            "us_east_1_regional_endpoint": "regional",
        },
        # The newer checksums are more than many other stores understand.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=32,
        **patience,
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
