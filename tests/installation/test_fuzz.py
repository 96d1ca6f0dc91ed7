"""schemathesis against a whole site: it sends what the OpenAPI document allows, and much that it forbids.

`API_CASES=10000` sends so many in all, coverage of all boundaries included; the suite sends a sample.
"""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from tests.support import fuzz_hooks
from tests.support.installation import ROOT, Site
from videos.api.openapi.document import FILE

CASES = int(os.environ.get("API_CASES", "0"))
SAMPLE = ["--phases", "examples,fuzzing,stateful", "--max-examples", "3", "--seed", "1", "--no-shrink"]
FULL = ["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(CASES // 60 or 1)]


# Beside what depends on the key and on the state of a video: the version of a file, the size of a file, and an earlier request
# with the same Idempotency-Key, such as the one in all examples.
CONFIGURATION = """
[checks]
positive_data_acceptance.expected-statuses = [
  "2xx", "3xx", "401", "403", "404", "409", "429", "5xx", "412", "416", "422"
]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(
        tmp_path_factory.mktemp("fuzz"),
        SIMULATOR_SECONDS="1",
        API_REQUESTS_A_MINUTE="0",
        USER_RUNNING_VIDEOS="1",
    ) as site:
        yield site


@pytest.fixture(scope="module")
def key(site):
    site.manage("grant_credits", "fuzz@example.com", "1000000", "--reason", "tests", "--create")
    return site.manage("create_api_key", "fuzz@example.com", "--name", "tests").splitlines()[-1]


def published():
    """The document as it is, but for waits of up to three minutes, and for files in forms of orders."""
    document = json.loads(FILE.read_text())
    generate = document["paths"]["/api/video-generation/generate"]["post"]
    generate["parameters"] = [one for one in generate["parameters"] if one["name"] != "Prefer"]
    for path in ("/v1/videos", "/v1/videos/quote"):
        form = document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]
        # To negate such a form, schemathesis breaks now and then: "Unsupported type: 'Binary'". /v1/files has one, too.
        del form["schema"]["properties"]["input_reference"]
    # The repeat of an upload names its file even if that was deleted meanwhile.
    upload = document["paths"]["/v1/files"]["post"]
    upload["parameters"] = [one for one in upload["parameters"] if one["name"] != "Idempotency-Key"]
    return document


def of_this_site():
    """The document with what it cannot know: the values that the model `sora-2` takes, and a picture.

    Without fields that the model does not take, or of which one rules out the other, so that all valid data is accepted.
    """
    document = published()
    picture = f"data:image/png;base64,{b64encode(fuzz_hooks.picture()).decode()}"
    values = {
        "model": ["sora-2"],
        "size": ["1280x720", "720x1280"],
        "seconds": ["4", "8", 12],
        "duration": ["4", 8],
        "resolution": ["720p"],
        "image_url": [picture],
    }
    orders = ("VideoOrder", "Item", "CampaignOrder")
    left_out = {
        "aspect_ratio",
        "fps",
        "quality",
        "audio",
        "seed",
        "negative_prompt",
        "last_frame",
        "webhook_url",
        "file_id",
    }
    schemas = document["components"]["schemas"]
    forms = [
        document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        for path in ("/v1/videos", "/v1/videos/quote")
    ]
    for schema in (*(schemas[name] for name in (*orders, "SiteOrder", "Drill", "Picture")), *forms):
        properties = schema["properties"]
        for name in left_out & properties.keys():
            del properties[name]
        if "seconds" in properties:
            properties.pop("duration", None)
        if "size" in properties:
            properties.pop("resolution", None)
        for name in values.keys() & properties.keys():
            nothing = (
                [None]
                if name != "image_url" and {"type": "null"} in properties[name].get("anyOf", ())
                else []
            )
            properties[name] = {"enum": [*values[name], *nothing]}
    # An item needs a prompt of its own, or one of the defaults.
    schemas["Item"]["required"] = ["prompt"]
    schemas["Item"]["properties"]["prompt"] = schemas["Remix"]["properties"]["prompt"]
    del schemas["BatchOrder"]["properties"]["webhook_url"]
    upload = document["paths"]["/v1/files"]["post"]["requestBody"]["content"]["multipart/form-data"]
    del upload["example"]  # whose file is only described
    schemas["Picture"] |= {"required": ["image_url"], "oneOf": [{}]}
    # Not every date is before every other.
    usage = document["paths"]["/v1/usage"]["get"]
    usage["parameters"] = [one for one in usage["parameters"] if one["name"] == "group_by"]
    return document


def cases_of(document, site, key, folder, *options):
    """Run schemathesis; how many cases it generated. Raises with its report if one fails."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    command = [Path(sys.executable).with_name("schemathesis"), "run", "openapi.json", "--url", site.url]
    done = subprocess.run(
        [
            *command,
            *("--header", f"Authorization: Bearer {key}"),
            # NUL is refused everywhere, which would have to be said of every single text.
            *("--generation-allow-x00", "false"),
            *("--warnings", "off", "--no-color", "--generation-database", "none", "--continue-on-failure"),
            # Which is about the speed of this machine.
            *("--suppress-health-check", "too_slow"),
            *(FULL if CASES else SAMPLE),
            *options,
        ],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(ROOT / "tests/support/fuzz_hooks.py")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated, done.stdout
    print(generated[0])
    return int(generated[1])


@pytest.mark.parametrize("document", [of_this_site, *([published] if CASES else [])])
def test_the_site_does_what_its_document_says(document, site, key, tmp_path):
    # Which models there are, and what each of them takes, is only in the document of this site.
    options = ("--exclude-checks", "positive_data_acceptance") if document is published else ()
    assert cases_of(document(), site, key, tmp_path, *options) >= CASES / 2


def test_the_document_keeps_to_the_specification_of_openapi():
    from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR  # takes seconds

    problems = OPENAPI_31_VALIDATOR.iter_errors(json.loads(FILE.read_text()))
    assert [f"{'/'.join(map(str, one.instance_path))}: {one.message}" for one in problems] == []
