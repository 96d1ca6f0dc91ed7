"""Uploaded pictures: checked, stored once each, and deleted again if no video uses them.

A picture that a program uploads to /v1/files is a file: kept until it is deleted, whether or not a video uses it.
"""

import hashlib
import logging
import uuid
from typing import BinaryIO

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q, QuerySet

from accounts.models import User
from videos.media import images, storage
from videos.models import Upload
from videos.thread_budget import Busy, SlowCalls

log = logging.getLogger(__name__)

MAX_UNUSED = 10  # per user, besides files
MAX_FILES = 100  # per user

# Concurrent uploads must not add up to more memory than one child may use.
_decoding = SlowCalls(at_once=1, wait=2, for_orders=True)


class TooManyFiles(Exception):
    """The user already has MAX_FILES files."""


def keep(user: User, file: BinaryIO) -> Upload:
    """The user's upload of this picture, existing or new, re-encoded by us.

    Raises ImageRefused, with a sentence for the user, if we do not accept the picture or cannot store it.
    """
    upload = _kept(user, _decode(file))
    _delete_unused(user, upload)
    return upload


def keep_file(user: User, file: BinaryIO, filename: str, purpose: str) -> Upload:
    """The user's file of this picture. The same picture is the same file, with the newest name and purpose.

    Raises ImageRefused like `keep`, and TooManyFiles.
    """
    if files(user).count() >= MAX_FILES:
        raise TooManyFiles
    picture = _decode(file)
    return _kept(user, picture, filename=filename, purpose=purpose, bytes=len(picture.data))


def files(user: User) -> QuerySet[Upload]:
    """The user's uploads that are files."""
    return user.uploads.exclude(purpose="")


def delete_file(user: User, pk: uuid.UUID) -> bool:
    """Delete a file of the user. False if there is none with this key.

    Videos that were ordered with the picture keep it, since a running one may still need it; it is erased together with
    the last of them.
    """
    with transaction.atomic():
        upload = files(user).select_for_update().filter(pk=pk).first()
        if upload is None:
            return False
        if user.videos.kept().filter(Q(upload=upload) | Q(last_frame=upload)).exists():
            upload.filename = upload.purpose = ""
            upload.save(update_fields=["filename", "purpose"])
        else:
            upload.delete()
            transaction.on_commit(lambda: storage.discard(str(upload.file.name)))
    return True


def _decode(file: BinaryIO) -> images.Picture:
    try:
        with _decoding.turn():
            return images.clean(file)
    except Busy as error:
        raise images.ImageRefused("busy") from error


def _kept(user: User, picture: images.Picture, **facts: str | int) -> Upload:
    """The user's upload of this picture, existing or new, with the facts of a file if it is one."""
    sha256 = hashlib.sha256(picture.data).hexdigest()
    same = user.uploads.filter(sha256=sha256)
    if facts:
        same.update(**facts)  # from here on, `_delete_unused` leaves it alone
    return same.first() or _create(user, picture, sha256, facts)


def _create(user: User, picture: images.Picture, sha256: str, facts: dict[str, str | int]) -> Upload:
    try:
        # Store the file first: a slow storage must not hold a transaction open.
        file = default_storage.save(f"uploads/{uuid.uuid4().hex}.jpg", ContentFile(picture.data))
    except OSError as error:
        log.exception("The uploaded picture could not be stored")
        raise images.ImageRefused("unkept") from error
    upload, created = Upload.objects.update_or_create(
        user=user,
        sha256=sha256,
        defaults=facts,
        create_defaults={"file": file, "width": picture.width, "height": picture.height, **facts},
    )
    if not created:
        storage.discard(file)
    return upload


def _delete_unused(user: User, newest: Upload) -> None:
    """Delete all but the newest unused pictures, so that refused orders do not fill the disk."""
    last_frames = user.videos.exclude(last_frame=None).values("last_frame")
    unused = user.uploads.filter(videos=None, purpose="").exclude(pk__in=last_frames).exclude(pk=newest.pk)
    unused = unused.order_by("-created_at")
    for upload in unused[MAX_UNUSED:]:
        storage.discard(str(upload.file.name))
        upload.delete()
