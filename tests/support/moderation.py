"""What the tests of moderation share: its doors, its sentences, and orders that it has judged."""

import base64
import io

import pytest
from PIL import Image

from tests.support.fixtures import video_order
from tests.support.studio_page import picture
from videos.generation import ordering
from videos.media import uploads
from videos.moderation import gate

APPEAL = "If you think this is a mistake, contact help@example.com and include the reference "
NOT_NOW = "Prompts and pictures cannot be checked right now. Nothing was charged"


def upload(user, colour="teal"):
    out = io.BytesIO()
    Image.new("RGB", (200, 200), colour).save(out, "JPEG")
    return uploads.keep(user, io.BytesIO(out.getvalue()))


def data_url():
    return f"data:image/png;base64,{base64.b64encode(picture(200, 200).read()).decode()}"


def page_of(answer):
    return answer.content.decode()


# Each door as (path, body, what its prompt is called), to be sent by a program.
DOORS = [
    ("/v1/videos", lambda prompt: {"prompt": prompt}, "prompt"),
    ("/api/v1/videos/generate", lambda prompt: {"prompt": prompt}, "prompt"),
    (
        "/api/video-generation/generate",
        lambda prompt: {"run_id": "run-1", "drill_text": prompt},
        "drill_text",
    ),
    (
        "/v1/batches/videos",
        lambda prompt: {"items": [{"prompt": "A kite"}, {"prompt": prompt}]},
        "items.1.prompt",
    ),
    ("/v1/campaigns", lambda prompt: {"prompt": prompt, "platforms": ["x", "tiktok"]}, "items.0.prompt"),
]


def order_cleared(user, **fields):
    [cleared] = gate.clear(user, [video_order(**fields)])
    return ordering.place(user, cleared)


def refused(user, prompt="Much gore", **fields):
    with pytest.raises(gate.Refused) as refusal:
        gate.clear(user, [video_order(prompt, **fields)])
    return refusal.value.verdict
