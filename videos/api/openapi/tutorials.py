"""Requests of programs written for older tutorials or services, for the documentation. Each works unchanged.

A test sends each of them verbatim: videos/tests/api/test_original_requests.py.
"""

from typing import NamedTuple

from videos.api.openapi.examples import KEY, SITE, VIDEO
from videos.code_samples import Sample


class Tutorial(NamedTuple):
    """What such a program was written for, what to change in it, and its requests."""

    title: str
    about: str
    requests: list[str]


# A program in the form of OpenAI's Sora guide of 2025. It names neither a site nor a key: both are in the environment.
OPENAI_GUIDE = [
    Sample(
        "Python",
        """\
import time

from openai import OpenAI

client = OpenAI()

video = client.videos.create(
    model="sora-2",
    prompt="A video of a cool cat on a motorcycle in the night",
)

while video.status in ("queued", "in_progress"):
    time.sleep(2)
    video = client.videos.retrieve(video.id)
    print(video.status, video.progress)

content = client.videos.download_content(video.id)
content.write_to_file("video.mp4")""",
    ),
    Sample(
        "JavaScript",
        """\
import { writeFile } from "node:fs/promises";
import OpenAI from "openai";

const openai = new OpenAI();

let video = await openai.videos.create({
  model: "sora-2",
  prompt: "A video of a cool cat on a motorcycle in the night",
});

while (video.status === "queued" || video.status === "in_progress") {
  await new Promise((resolve) => setTimeout(resolve, 2000));
  video = await openai.videos.retrieve(video.id);
  console.log(video.status, video.progress);
}

const content = await openai.videos.downloadContent(video.id);
await writeFile("video.mp4", Buffer.from(await content.arrayBuffer()));""",
    ),
]

TUTORIALS = [
    Tutorial(
        "/v1/videos with duration, resolution, and aspect_ratio",
        "Change the base URL and the key. duration is an alias of seconds, a number or a string. Besides OpenAI's keys, the"
        " response has duration, resolution, aspect_ratio, and url. url is null until the video is completed; download it"
        " without any headers. status has OpenAI's values: queued and in_progress, then completed or failed.",
        [
            f"""curl {SITE}/v1/videos \\
  -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" \\
  -d '{{
    "model": "sora-2",
    "prompt": "A golden retriever playing in a sunny garden",
    "duration": 10,
    "resolution": "1080p",
    "aspect_ratio": "16:9"
  }}'""",
            f"""curl {SITE}/v1/videos \\
  -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" \\
  -d '{{
    "model": "sora-2",
    "prompt": "A futuristic city with flying cars at sunset",
    "duration": 20, "resolution": "1080p", "aspect_ratio": "21:9",
    "fps": 30, "seed": 12345, "n": 1, "quality": "hd",
    "webhook_url": "https://yourapi.com/webhook",
    "metadata": {{"project": "Marketing Campaign Q1", "user_id": "user_123"}}
  }}'""",
            f'curl {SITE}/v1/videos/{VIDEO} -H "Authorization: Bearer {KEY}"',
            f"""curl {SITE}/v1/campaigns \\
  -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" \\
  -d '{{
    "prompt": "Product launch teaser for new smartphone",
    "platforms": ["youtube", "instagram", "tiktok", "twitter"]
  }}'""",
        ],
    ),
    Tutorial(
        "/api/v1/videos/generate with a mock service",
        "Without a configured provider, the built-in simulator is the mock. Poll every few seconds until status is completed"
        " or failed.",
        [
            f"""curl {SITE}/api/v1/videos/generate \\
  -H "Authorization: Bearer {KEY}" -H "Content-Type: application/json" \\
  -d '{{"prompt": "A cat", "model": "sora-2", "image_url": "https://example.com/cat.jpg"}}'""",
            f'curl {SITE}/api/v1/videos/{VIDEO} -H "Authorization: Bearer {KEY}"',
        ],
    ),
    Tutorial(
        "Gateway with /v1/videos/query",
        "A JSON body is accepted even if curl declares it as a form. task_id is an alias of video_id.",
        [
            f"""curl -X POST {SITE}/v1/videos/query -H "Authorization: Bearer {KEY}" \\
  -d '{{"video_id": "{VIDEO}"}}'""",
            f'curl {SITE}/v1/videos/query/{VIDEO} -H "Authorization: Bearer {KEY}"',
        ],
    ),
    Tutorial(
        "Training drill service",
        "Send the key as the HTTP Basic password, with any user name. run_id is a number or a string of your choice and is"
        " returned unchanged; the same run_id always means the same video. message is in English or Japanese, by"
        " Accept-Language.",
        [
            f"""curl {SITE}/api/video-generation/generate -u user:{KEY} \\
  -H "Content-Type: application/json" \\
  -d '{{"run_id": 999, "drill_text": "プランク: 体幹を鍛える基本エクササイズ...", "size": "1280x720", "seconds": "4"}}'""",
            f"curl {SITE}/api/video-generation/status/999 -u user:{KEY}",
            f"curl {SITE}/api/video-generation/ -u user:{KEY}",
        ],
    ),
]
