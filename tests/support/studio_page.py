"""The studio's form as a browser sends it."""

import io
import uuid

from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from videos.models import Video

HTMX = {"HX-Request": "true"}


def form(**fields):
    return {
        "nonce": str(uuid.uuid4()),
        "image": "",
        "prompt": "A red kite over the sea",
        "model": "sora-2",
        "aspect_ratio": "16:9",
        "resolution": "720p",
        "seconds": "4",
        **fields,
    }


def picture(width=640, height=480, kind="PNG", **options):
    file = io.BytesIO()
    Image.effect_noise((width, height), 40).convert("RGB").save(file, kind, **options)
    return SimpleUploadedFile(f"x.{kind.lower()}", file.getvalue())


def nothing_happened(user):
    user.refresh_from_db()
    return (user.balance, Video.objects.count(), user.credit_entries.count()) == (100, 0, 1)
