"""Code that pages show: a program that makes a first video, in three languages, and the colors of its syntax."""

import re
from typing import NamedTuple

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


class Sample(NamedTuple):
    """Code in one language: the label of its tab, and the text."""

    label: str
    source: str

    @property
    def html(self) -> SafeString:
        """The text with spans for comments, strings, and keywords."""
        return highlighted(self.source)


def first_video(site: str, key: str, models: list[str]) -> list[Sample]:
    """Programs that create a video, wait until it has ended, and save it as kite.mp4.

    `site` is the URL of this site. The model is the first of `models`, or an example if there is none.
    """
    model = models[0] if models else "sora-2"
    curl = f"""\
KEY="Authorization: Bearer {key}"

ID=$(curl -sS {site}/v1/videos -H "$KEY" \\
  -H "Content-Type: application/json" \\
  -d '{{"prompt": "A red kite over the sea", "model": "{model}"}}' \\
  | tee /dev/stderr | grep -o 'video_[0-9a-f]*' | head -n 1)

# Ask until it is completed, or there is an error.
until curl -sS {site}/v1/videos/$ID -H "$KEY" \\
  | grep -E '"status": "completed"|"error": \\{{'; do sleep 3; done

curl -sS --fail {site}/v1/videos/$ID/content \\
  -H "$KEY" -o kite.mp4"""
    python = f"""\
# pip install openai
from openai import OpenAI

client = OpenAI(
    base_url="{site}/v1",
    api_key="{key}",
)

video = client.videos.create_and_poll(
    prompt="A red kite over the sea",
    model="{model}",
)

if video.status == "completed":
    content = client.videos.download_content(video.id)
    content.write_to_file("kite.mp4")
else:
    print(video.error.message)"""
    javascript = f"""\
// npm install openai; save this as kite.mjs and run: node kite.mjs
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{site}/v1",
  apiKey: "{key}",
}});

let video = await client.videos.create({{
  prompt: "A red kite over the sea",
  model: "{model}",
}});
while (video.status === "queued" || video.status === "in_progress") {{
  await new Promise((done) => setTimeout(done, 2000));
  video = await client.videos.retrieve(video.id);
}}

if (video.status === "completed") {{
  const content = await client.videos.downloadContent(video.id);
  fs.writeFileSync("kite.mp4", Buffer.from(await content.arrayBuffer()));
}} else {{
  console.error(video.error.message);
}}"""
    return [Sample("curl", curl), Sample("Python", python), Sample("JavaScript", javascript)]


# A rough grammar for all languages of our samples. A comment begins a line or stands after a space, unlike the // of a URL.
TOKENS = re.compile(
    r"""(?P<comment>(?:(?<=\s)|\A)(?:\#|//)[ ].*)"""
    r"""|(?P<string>\"\"\"[\s\S]*?\"\"\"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\])*'|`[^`]*`)"""
    r"""|(?P<word>\b(?:async|await|const|def|do|done|else|except|export|for|from|func|function|if|import|in|is|let|new"""
    r"""|not|or|package|print|raise|range|return|throw|try|type|until|var|while)\b)"""
)


def highlighted(source: str) -> SafeString:
    """Source code as HTML."""
    parts: list[SafeString | str] = []
    end = 0
    for token in TOKENS.finditer(source):
        parts.append(source[end : token.start()])
        parts.append(format_html('<span class="code-{}">{}</span>', token.lastgroup, token[0]))
        end = token.end()
    parts.append(source[end:])
    return format_html_join("", "{}", ((part,) for part in parts))
