"""`/api/docs` and `/llms.txt`: the API reference and a short guide for agents, both from the OpenAPI document."""

import json
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from videos.api import pictures
from videos.api.compat import drills
from videos.api.not_offered import NOT_OFFERED
from videos.api.openapi import examples
from videos.api.openapi.document import FILE
from videos.api.openapi.examples import SITE
from videos.api.openapi.tutorials import TUTORIALS
from videos.api.openapi_extra import ERRORS
from videos.webhooks import events, outbox


@login_not_required
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """The API reference: every call with its parameters, responses, and examples."""
    site = request.build_absolute_uri("/").rstrip("/")
    facts = _facts(site)
    order = next(call for call in dict(facts["groups"])["Videos"] if call["id"] == "create_video")
    context = facts | {
        "errors": [(status, _html(about)) for status, about in facts["errors"]],
        "not_offered": [(name, _html(instead)) for name, instead in facts["not_offered"]],
        "order_by_curl": order["samples"][0][1],
        "tutorials": [
            one._replace(requests=[request.replace(SITE, site) for request in one.requests])
            for one in TUTORIALS
        ],
        "longest_wait": drills.LONGEST_WAIT,
        "picture_seconds": pictures.SECONDS,
        "max_waiting": drills.waiting.max_running,
        "max_tries": outbox.MAX_TRIES,
        "events": [(kind, about, kind in events.DEFAULT_EVENTS) for kind, about in events.EVENTS.items()],
    }
    return render(request, "videos/developer/api_docs.html", context)


@login_not_required
@require_safe
def llms(request: HttpRequest) -> HttpResponse:
    """What an agent has to know to make a video here, as plain text (https://llmstxt.org)."""
    facts = _facts(request.build_absolute_uri("/").rstrip("/"))
    examples_of = {call["id"]: dict(call["samples"]) for _tag, calls in facts["groups"] for call in calls}
    context = facts | {"examples": examples_of}
    return render(request, "videos/developer/llms.txt", context, content_type="text/plain; charset=utf-8")


@login_not_required
@require_safe
def openapi(request: HttpRequest) -> HttpResponseBase:
    """The document, for client generators."""
    response = FileResponse(FILE.open("rb"), content_type="application/json")
    response["Access-Control-Allow-Origin"] = "*"
    return response


def _facts(site: str) -> dict[str, Any]:
    """What the reference and the guide both say; `site` is the URL of this site."""
    return {
        "site": site,
        "groups": [(tag, [_shown(call, site) for call in calls]) for tag, calls in _calls().items()],
        "not_offered": NOT_OFFERED.items(),
        "errors": ERRORS.items(),
        "requests_a_minute": settings.API_REQUESTS_A_MINUTE,
    }


@cache
def _document() -> dict[str, Any]:
    return json.loads(FILE.read_text())


@cache
def _calls() -> dict[str, list[dict[str, Any]]]:
    """The calls by tag, in the order of the document, with their fields listed."""
    groups: dict[str, list[dict[str, Any]]] = {"Videos": [], "Files": [], "Batches": [], "Account": []}
    for path, operations in _document()["paths"].items():
        for method, operation in operations.items():
            call = {
                "id": operation["operationId"],
                "method": method.upper(),
                "path": path,
                "about": _html(operation.get("description", "")),
                "parameters": [_parameter(parameter) for parameter in operation["parameters"]],
                "fields": _fields(operation),
                "answers": [status for status in operation["responses"] if status < "400"],
                "refusals": [status for status in operation["responses"] if status >= "400"],
                "samples": operation.get("x-codeSamples", []),
            }
            groups.setdefault(operation["tags"][0], []).append(call)
    return groups


def _shown(call: dict[str, Any], site: str) -> dict[str, Any]:
    """The call with the URL of this site in its examples."""
    samples = [(one["label"], one["source"].replace(examples.SITE, site)) for one in call["samples"]]
    return call | {"samples": samples}


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    about = _html(parameter.get("description", ""))
    return {
        "name": parameter["name"],
        "where": parameter["in"],
        "about": about,
        "required": parameter["required"],
    }


def _fields(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of a request body, with their types."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return []
    name = next(iter(content.values()))["schema"]["$ref"].rpartition("/")[2]
    schema = _document()["components"]["schemas"][name]
    return [
        {
            "name": field,
            "kind": _kind(about),
            "about": _html(about.get("description", "")),
            "required": field in schema.get("required", []),
        }
        for field, about in schema["properties"].items()
    ]


def _html(text: str) -> SafeString:
    """A description as HTML: what stands between backticks is code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if number % 2 else part,) for number, part in parts)
    )


def _kind(schema: dict[str, Any]) -> str:
    """A short name of the type."""
    if "anyOf" in schema:
        return " or ".join(kind for one in schema["anyOf"] if (kind := _kind(one)) != "null")
    if "$ref" in schema:
        return "object"
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        return " or ".join(kind)
    return f"list of {_kind(schema['items'])}s" if kind == "array" else kind
