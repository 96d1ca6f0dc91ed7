"""Uploaded pictures: checked, stored once each, and deleted again if no video uses them."""

import hashlib
import logging
import uuid
from typing import BinaryIO

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from accounts.models import User
from videos.media import images, storage
from videos.models import Upload
from videos.thread_budget import Busy, SlowCalls

log = logging.getLogger(__name__)

MAX_UNUSED = 10  # per user

# Concurrent uploads must not add up to more memory than one child may use.
_decoding = SlowCalls(at_once=1, wait=2, for_orders=True)


def keep(user: User, file: BinaryIO) -> Upload:
    """The user's upload of this picture, existing or new, re-encoded by us.

    Raises ImageRefused, with a sentence for the user, if we do not accept the picture or cannot store it.
    """
    picture = _decode(file)
    sha256 = hashlib.sha256(picture.data).hexdigest()
    upload = user.uploads.filter(sha256=sha256).first()
    if upload is None:
        upload = _create(user, picture, sha256)
    _delete_unused(user, upload)
    return upload


def _decode(file: BinaryIO) -> images.Picture:
    try:
        with _decoding.turn():
            return images.clean(file)
    except Busy as error:
        raise images.ImageRefused("busy") from error


def _create(user: User, picture: images.Picture, sha256: str) -> Upload:
    try:
        # Store the file first: a slow storage must not hold a transaction open.
        file = default_storage.save(f"uploads/{uuid.uuid4().hex}.jpg", ContentFile(picture.data))
    except OSError as error:
        log.exception("The uploaded picture could not be stored")
        raise images.ImageRefused("unkept") from error
    upload, created = Upload.objects.get_or_create(
        user=user,
        sha256=sha256,
        defaults={"file": file, "width": picture.width, "height": picture.height},
    )
    if not created:
        storage.discard(file)
    return upload


def _delete_unused(user: User, newest: Upload) -> None:
    """Delete all but the newest unused pictures, so that refused orders do not fill the disk."""
    last_frames = user.videos.exclude(last_frame=None).values("last_frame")
    unused = user.uploads.filter(videos=None).exclude(pk__in=last_frames).exclude(pk=newest.pk)
    unused = unused.order_by("-created_at")
    for upload in unused[MAX_UNUSED:]:
        storage.discard(str(upload.file.name))
        upload.delete()
