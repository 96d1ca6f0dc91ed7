"""Pictures that people bring: checked, kept once each, and forgotten when no video was made of them."""

import hashlib
import logging
import uuid
from typing import BinaryIO

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from accounts.models import User
from videos.media import images, storage
from videos.models import Upload

log = logging.getLogger(__name__)

MAX_UNUSED = 10  # a user


def keep(user: User, file: BinaryIO) -> Upload:
    """The user's upload of this picture, the one there is or a new one, re-encoded by us.

    Raises ImageRefused, with a sentence for the person, for what we do not take or cannot store.
    """
    picture = images.clean(file)
    sha256 = hashlib.sha256(picture.data).hexdigest()
    upload = user.uploads.filter(sha256=sha256).first()
    if upload is None:
        upload = _new(user, picture, sha256)
    _forget_unused(user, upload)
    return upload


def _new(user: User, picture: images.Picture, sha256: str) -> Upload:
    try:
        # First the file: a slow storage must not hold a transaction open.
        file = default_storage.save(f"uploads/{uuid.uuid4().hex}.jpg", ContentFile(picture.data))
    except OSError as error:
        log.exception("The storage takes no picture")
        raise images.ImageRefused("unkept") from error
    upload, created = Upload.objects.get_or_create(
        user=user,
        sha256=sha256,
        defaults={"file": file, "width": picture.width, "height": picture.height},
    )
    if not created:
        storage.discard(file)
    return upload


def _forget_unused(user: User, newest: Upload) -> None:
    """Keep the last few pictures that no video was made of, so that refused orders do not fill the disk."""
    unused = user.uploads.filter(videos=None).exclude(pk=newest.pk).order_by("-created_at")
    for upload in unused[MAX_UNUSED:]:
        storage.discard(str(upload.file.name))
        upload.delete()
