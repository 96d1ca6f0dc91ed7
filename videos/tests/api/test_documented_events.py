"""What the documentation says about events and repeats."""

import html
import json
import re

import pytest
from django.test import Client

from videos.api.app import api
from videos.api.openapi import document, examples
from videos.webhooks.events import EVENTS

pytestmark = pytest.mark.django_db


def test_document_and_page_list_every_event():
    webhooks = document.build(api)["webhooks"]
    page = Client().get("/api/docs").content.decode()
    assert list(webhooks) == [*EVENTS, "ping"]
    assert all(f"<code>{kind}</code>" in page for kind in EVENTS)


def test_every_schema_that_an_event_names_is_in_the_document():
    whole = document.build(api)
    named = {part.split('"')[0] for part in json.dumps(whole).split("#/components/schemas/")[1:]}
    assert named <= set(whole["components"]["schemas"])
    assert {"VideoEvent", "BatchEvent", "PingEvent", "PlainEvent"} <= named


def test_the_curl_example_of_an_order_sends_an_idempotency_key():
    page = Client().get("/api/docs").content.decode()
    curl = html.unescape(re.sub(r"<.*?>", "", re.search(r"<pre[^>]*>(curl .*?)</pre>", page, re.DOTALL)[1]))
    sample = document.build(api)["paths"]["/v1/videos"]["post"]["x-codeSamples"][0]["source"]
    assert curl == sample.replace(examples.SITE, "http://testserver")
    assert '-H "Idempotency-Key: order-1042"' in curl
