"""The reference part of the documentation: the calls and objects of the OpenAPI document, in the order people read."""

import json
from functools import cache
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from videos.api.openapi.document import FILE
from videos.api.openapi.examples import SITE
from videos.code_samples import Sample, highlighted

# The order of calls on the page; others follow in the order of the document.
FIRST = [
    "create_video",
    "retrieve_video",
    "video_content",
    "list_videos",
    "remix_video",
    "cancel_video",
    "delete_video",
    "quote_video",
    "create_batch",
    "create_campaign",
    "retrieve_batch",
    "cancel_batch",
    "list_models",
    "retrieve_model",
    "retrieve_credits",
]
GROUPS = ["Videos", "Batches", "Files", "Account"]

# Objects that responses consist of, by the names of their schemas.
OBJECTS = {
    "VideoObject": "Video",
    "BatchObject": "Batch",
    "FileObject": "File",
    "ModelObject": "Model",
    "PriceObject": "Price of a model",
    "VideoQuote": "Quote",
    "Credits": "Credits",
    "Usage": "Usage",
    "UsageBucket": "Period of the usage",
    "UsageSums": "Sums of the usage",
}


def groups(site: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """The calls by tag, with the URL of this site in their samples."""
    return [(tag, [_of_site(call, site) for call in calls]) for tag, calls in _calls().items()]


@cache
def objects() -> list[dict[str, Any]]:
    """The objects that responses consist of, with their fields."""
    schemas = _document()["components"]["schemas"]
    return [
        {
            "id": f"object-{name}",
            "title": title,
            "summary": html(_sentence(schemas[name].get("description", ""))),
            "about": html(schemas[name].get("description", "")),
            # All fields are always there.
            "fields": [field | {"required": False} for field in _fields(name)],
        }
        for name, title in OBJECTS.items()
        if name in schemas
    ]


def html(text: str) -> SafeString:
    """A description as HTML: what stands between backticks is code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if number % 2 else part,) for number, part in parts)
    )


@cache
def _document() -> dict[str, Any]:
    return json.loads(FILE.read_text())


@cache
def _calls() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {tag: [] for tag in GROUPS}
    for path, operations in _document()["paths"].items():
        for method, operation in operations.items():
            found.setdefault(operation["tags"][0], []).append(_call(method, path, operation))
    order = {name: number for number, name in enumerate(FIRST)}
    return {
        tag: sorted(calls, key=lambda call: order.get(call["id"], len(order))) for tag, calls in found.items()
    }


def _call(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    about = operation.get("description", "")
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": html(_sentence(about)),
        "about": html(about),
        "fields": [*map(_parameter, operation["parameters"]), *_body_fields(operation)],
        "returns": _returns(operation),
        "answers": [status for status in operation["responses"] if status < "400"],
        "refusals": [status for status in operation["responses"] if status >= "400"],
        "samples": [Sample(one["label"], one["source"]) for one in operation.get("x-codeSamples", [])],
        "example": _example(operation),
    }


def _of_site(call: dict[str, Any], site: str) -> dict[str, Any]:
    samples = [one._replace(source=one.source.replace(SITE, site)) for one in call["samples"]]
    return call | {"samples": samples, "example": highlighted(call["example"].replace(SITE, site))}


def _sentence(text: str) -> str:
    """The first sentence of a description."""
    first, dot, _rest = " ".join(text.split()).partition(". ")
    return first + dot.strip()


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": parameter["name"],
        "kind": parameter["in"],
        "about": html(parameter.get("description", "")),
        "required": parameter["required"],
    }


def _body_fields(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of the request body."""
    content = operation.get("requestBody", {}).get("content", {})
    fields = _fields(_name(next(iter(content.values()))["schema"])) if content else []
    return [field | {"kind": field["kind"].removesuffix(" or null")} for field in fields]


def _fields(schema_name: str) -> list[dict[str, Any]]:
    schema = _document()["components"]["schemas"][schema_name]
    return [
        {
            "name": field,
            "kind": _kind(about),
            "about": html(about.get("description", "")),
            "required": field in schema.get("required", []),
        }
        for field, about in schema["properties"].items()
    ]


def _returns(operation: dict[str, Any]) -> dict[str, str] | None:
    """The object of the first response that is an object of the list, or a list of it."""
    for status, response in operation["responses"].items():
        schema = response.get("content", {}).get("application/json", {}).get("schema", {})
        if status < "300" and (name := _name(schema)) in OBJECTS:
            return {"id": f"object-{name}", "title": OBJECTS[name]}
    return None


def _example(operation: dict[str, Any]) -> str:
    """The JSON of a response of success, if the document has one."""
    for status, response in operation["responses"].items():
        example = response.get("content", {}).get("application/json", {}).get("example")
        if status < "300" and example is not None:
            return json.dumps(example, indent=2, ensure_ascii=False)
    return ""


def _name(schema: dict[str, Any]) -> str:
    """The name of the schema that is referred to."""
    return schema.get("$ref", "").rpartition("/")[2]


def _kind(schema: dict[str, Any]) -> str:
    """A short name of the type, or the values to choose from."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return "object"
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        return " or ".join(kind)
    return f"list of {_kind(schema['items'])}s" if kind == "array" else kind
