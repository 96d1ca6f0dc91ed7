"""What an event looks like when it is sent: the two formats of webhooks, and the links in them.

An event is stored in the Standard Webhooks format. The format that its key has chosen and the links are put in at each
attempt, because links expire long before the last attempt, and a deleted video must not have one.
"""

import json
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import ApiKey
from videos import serializers
from videos.models import Delivery, Status, Video
from videos.webhooks import signing


def request_of(delivery: Delivery) -> tuple[bytes, dict[str, str]]:
    """The body and the signed headers of an event that is sent now, in the format that its key has now."""
    key, event = delivery.api_key, json.loads(delivery.body)
    _renew_links(event["data"])
    if key.webhook_form == ApiKey.WebhookForm.PLAIN:
        body = _bytes_of(_plain(event))
        headers = signing.plain_headers(key.webhook_secret, delivery.webhook_id, body)
    else:
        body = _bytes_of(event)
        headers = signing.signed_headers(_secrets(key), delivery.webhook_id, body)
    return body, headers | {"Content-Type": "application/json"}


def _plain(event: dict[str, Any]) -> dict[str, object]:
    """Id, status, link and error of a video or batch, or of a test event, which is neither."""
    data = event["data"]
    return {
        "id": data.get("id", event["id"]),
        "status": data.get("status", event["type"]),
        "url": data.get("url"),
        "error": error["message"] if (error := data.get("error")) else None,
    }


def _renew_links(data: dict[str, Any]) -> None:
    """Sign the links of a video or a batch anew; null for videos that were deleted or are not completed any more.

    `expires_at` is when the link ends.
    """
    objects = [data, *data.get("data", [])]
    completed = {_key_of(one): one for one in objects if one.get("url") is not None}
    kept = Video.objects.kept().filter(status=Status.COMPLETED).in_bulk(completed)
    for pk, one in completed.items():
        until = serializers.link_end() if pk in kept else None
        one["expires_at"] = until
        one["url"] = serializers.link(kept[pk], until) if until else None


def _key_of(video_object: dict[str, Any]) -> UUID:
    return UUID(hex=video_object["id"].removeprefix("video_"))


def _secrets(key: ApiKey) -> list[str]:
    """The secrets that sign in the Standard Webhooks format: for a day after a rotation, the old one too."""
    if key.old_secret_until and key.old_secret_until > timezone.now():
        return [key.webhook_secret, key.old_webhook_secret]
    return [key.webhook_secret]


def _bytes_of(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()
