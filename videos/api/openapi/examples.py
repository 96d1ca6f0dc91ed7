"""A working example of every call: curl, Python with the `openai` SDK, JavaScript with the `openai` package.

Tests run them, so `VIDEO`, `FILE`, `BATCH`, and `RUN` are placeholders for the ids of a test, or of a reader.
"""

import json
from collections.abc import Mapping

SITE, KEY = "https://video.example.com", "av_live_..."
VIDEO, FILE, BATCH, RUN = "video_...", "file_...", "batch_...", "drill-7"
IDEMPOTENCY_KEY = "order-1042"  # what a shop might use

PROMPT = {"prompt": "A red kite over the sea", "model": "sora-2", "seconds": "4", "size": "1280x720"}

BODIES: dict[str, Mapping[str, object]] = {
    "create_video": PROMPT,
    "quote_video": PROMPT,
    "remix_video": {"prompt": "The same by night"},
    "create_batch": {
        "items": [{"prompt": "A red kite"}, {"prompt": "A paper boat", "seconds": "8"}],
        "defaults": {"model": "sora-2", "seconds": "4"},
        "max_concurrency": 2,
    },
    "create_campaign": {"prompt": "Our new kite", "platforms": ["youtube", "instagram", "tiktok", "x"]},
    "site_generate": {"prompt": "A red kite", "model": "sora-2", "duration": "4", "resolution": "720p"},
    "query": {"video_id": VIDEO},
    "drill_generate": {"run_id": RUN, "drill_text": "Leave the hall by the nearest exit", "seconds": "4"},
}
# Of calls that take only a form.
FORMS: dict[str, Mapping[str, object]] = {
    "create_file": {"file": "(the bytes of kite.png)", "purpose": "vision"}
}

# Calls that have a method in the SDKs.
PYTHON = {
    "create_video": """video = client.videos.create_and_poll(
    prompt="A red kite over the sea", model="sora-2", seconds="4", size="1280x720"
)
print(video.id, video.status)""",
    "retrieve_video": 'video = client.videos.retrieve("{VIDEO}")\nprint(video.status, video.progress)',
    "list_videos": "for video in client.videos.list(limit=20):\n    print(video.id, video.status)",
    "delete_video": 'print(client.videos.delete("{VIDEO}").deleted)',
    "video_content": 'client.videos.download_content("{VIDEO}", variant="video").write_to_file("kite.mp4")',
    "remix_video": 'video = client.videos.remix("{VIDEO}", prompt="The same by night")\nprint(video.id)',
    "create_file": 'file = client.files.create(file=open("kite.png", "rb"), purpose="vision")\nprint(file.id)',
    "list_files": "for file in client.files.list():\n    print(file.id, file.filename)",
    "retrieve_file": 'print(client.files.retrieve("{FILE}").filename)',
    "delete_file": 'print(client.files.delete("{FILE}").deleted)',
    "file_content": 'client.files.content("{FILE}").write_to_file("kite.jpg")',
    "list_models": "for model in client.models.list():\n    print(model.id)",
    "retrieve_model": 'print(client.models.retrieve("sora-2"))',
}
JAVASCRIPT = {
    "create_video": """let video = await client.videos.create({PROMPT});
while (video.status === "queued" || video.status === "in_progress") {
  await new Promise((done) => setTimeout(done, 2000));
  video = await client.videos.retrieve(video.id);
}
console.log(video.id, video.status);""",
    "retrieve_video": 'const video = await client.videos.retrieve("{VIDEO}");\nconsole.log(video.status, video.progress);',
    "list_videos": "for await (const video of client.videos.list({ limit: 20 })) console.log(video.id, video.status);",
    "delete_video": 'console.log((await client.videos.delete("{VIDEO}")).deleted);',
    "video_content": """const answer = await client.videos.downloadContent("{VIDEO}", { variant: "video" });
const bytes = Buffer.from(await answer.arrayBuffer());
console.log(bytes.length);""",
    "remix_video": 'const video = await client.videos.remix("{VIDEO}", { prompt: "The same by night" });\nconsole.log(video.id);',
    "create_file": """import fs from "node:fs";
const file = await client.files.create({ file: fs.createReadStream("kite.png"), purpose: "vision" });
console.log(file.id);""",
    "list_files": "for await (const file of client.files.list()) console.log(file.id, file.filename);",
    "retrieve_file": 'console.log((await client.files.retrieve("{FILE}")).filename);',
    "delete_file": 'console.log((await client.files.delete("{FILE}")).deleted);',
    "file_content": """const answer = await client.files.content("{FILE}");
const bytes = Buffer.from(await answer.arrayBuffer());
console.log(bytes.length);""",
    "list_models": "for await (const model of client.models.list()) console.log(model.id);",
    "retrieve_model": 'console.log(await client.models.retrieve("sora-2"));',
}

# The SDKs' base path; other paths are relative to the site.
BASE = "/v1"


def of(name: str, method: str, path: str) -> list[dict[str, str]]:
    """Code samples of an operation, in the format of x-codeSamples."""
    path = path.format(video_id=VIDEO, file_id=FILE, batch_id=BATCH, run_id=RUN, model_id="sora-2")
    body = BODIES.get(name)
    return [
        {"lang": "Shell", "label": "curl", "source": _curl(name, method, path, body)},
        {"lang": "Python", "label": "Python", "source": _python(name, method, path, body)},
        {"lang": "JavaScript", "label": "JavaScript", "source": _javascript(name, method, path, body)},
    ]


def _curl(name: str, method: str, path: str, body: Mapping[str, object] | None) -> str:
    is_implied = method == "get" or (method == "post" and (body is not None or name == "create_file"))
    lines = [f"curl {SITE}{path}" if is_implied else f"curl -X {method.upper()} {SITE}{path}"]
    if name != "drill_service":
        lines.append(f'-H "Authorization: Bearer {KEY}"')
    if name == "create_video":
        lines.append(f'-H "Idempotency-Key: {IDEMPOTENCY_KEY}"')
    if body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d '{json.dumps(body)}'"]
    if name == "create_file":
        lines += ["-F purpose=vision", "-F file=@kite.png"]
    if name in ("video_content", "file_content"):
        lines.append("-o kite.mp4" if name == "video_content" else "-o kite.jpg")
    return " \\\n  ".join(lines)


def _python(name: str, method: str, path: str, body: Mapping[str, object] | None) -> str:
    base = BASE if path.startswith(BASE) else ""
    lines = ["from openai import OpenAI", "", f'client = OpenAI(base_url="{SITE}{base}", api_key="{KEY}")']
    if name in PYTHON:
        return "\n".join([*lines, PYTHON[name].replace("{VIDEO}", VIDEO).replace("{FILE}", FILE)])
    sent = "" if body is None else f"\n    body={body!r},"
    call = f'client.{method}(\n    "{path.removeprefix(base)}",{sent}\n    cast_to=object,\n)'
    return "\n".join([*lines, f"print({call})"])


def _javascript(name: str, method: str, path: str, body: Mapping[str, object] | None) -> str:
    base = BASE if path.startswith(BASE) else ""
    lines = [
        'import OpenAI from "openai";',
        "",
        f'const client = new OpenAI({{ baseURL: "{SITE}{base}", apiKey: "{KEY}" }});',
    ]
    if name in JAVASCRIPT:
        text = JAVASCRIPT[name].replace("{VIDEO}", VIDEO).replace("{FILE}", FILE)
        return "\n".join([*lines, text.replace("{PROMPT}", json.dumps(PROMPT))])
    sent = "" if body is None else f", {{ body: {json.dumps(body)} }}"
    return "\n".join([*lines, f'console.log(await client.{method}("{path.removeprefix(base)}"{sent}));'])
