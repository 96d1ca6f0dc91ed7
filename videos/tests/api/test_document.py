"""The OpenAPI document: complete, and true to itself. That the API does what it says is tested in tests/installation/test_fuzz.py."""

import re

import jsonschema_rs
import pytest

from videos.api import schemas
from videos.api.app import api
from videos.api.openapi import document
from videos.models import CAN_TAKE, Batch


@pytest.fixture(scope="module")
def whole():
    return document.build(api)


def operations_of(whole):
    return [operation for calls in whole["paths"].values() for operation in calls.values()]


def contents_of(operation):
    """The bodies of a request and its responses, each with where it is."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request {kind}", content
    for status, response in operation["responses"].items():
        for kind, content in response.get("content", {}).items():
            yield f"{status} {kind}", content


def problems(whole, schema, example):
    judge = jsonschema_rs.Draft202012Validator({"components": whole["components"], **schema})
    return [f"{error.instance_path}: {error.message}" for error in judge.iter_errors(example)]


def test_every_request_and_response_of_json_has_an_example_that_fits(whole):
    for operation in operations_of(whole):
        for where, content in contents_of(operation):
            if where.endswith(("json", "form-data")):
                assert problems(whole, content["schema"], content["example"]) == [], (operation, where)


def test_every_example_of_an_event_fits_one_format(whole):
    for kind, calls in whole["webhooks"].items():
        content = calls["post"]["requestBody"]["content"]["application/json"]
        assert set(content["examples"]) == {"standard", "plain"}
        for example in content["examples"].values():
            assert problems(whole, content["schema"], example["value"]) == [], kind


def test_calls_are_in_groups_that_are_described(whole):
    used = [tag for operation in operations_of(whole) for tag in operation["tags"]]
    described = [tag["name"] for tag in whole["tags"]]
    assert list(dict.fromkeys([*used, "Webhooks"])) == described
    assert all(tag["description"] for tag in whole["tags"])


def test_making_a_video_comes_first(whole):
    assert next(iter(whole["paths"])) == "/v1/videos"
    assert list(whole["paths"]["/v1/videos"]) == ["post", "get"]


def test_the_ways_to_authenticate_have_the_fields_that_openapi_allows(whole):
    schemes = whole["components"]["securitySchemes"]
    assert {name: set(scheme) for name, scheme in schemes.items()} == {
        "ApiKeyAuth": {"type", "scheme", "description"},
        "ApiKeyAsPassword": {"type", "scheme", "description"},
    }
    open_to_all = [one["operationId"] for one in operations_of(whole) if one["security"] == []]
    assert open_to_all == ["drill_service"]


def test_names_of_operations_are_unique_and_readable(whole):
    names = [operation["operationId"] for operation in operations_of(whole)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in names)


def test_every_parameter_is_described(whole):
    for operation in operations_of(whole):
        for parameter in operation["parameters"]:
            assert parameter["description"], (operation["operationId"], parameter["name"])


def test_links_and_headers_name_what_is_there(whole):
    parameters = {
        operation["operationId"]: {parameter["name"] for parameter in operation["parameters"]}
        for operation in operations_of(whole)
    }
    for operation in operations_of(whole):
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                assert set(link["parameters"]) <= parameters[link["operationId"]]
            for header in response["headers"].values():
                assert header["$ref"].rpartition("/")[2] in whole["components"]["headers"]


@pytest.mark.parametrize(
    ("schema", "field", "values"),
    [
        ("VideoObject", "status", ["queued", "in_progress", "completed", "failed"]),
        ("BatchObject", "kind", Batch.Kind.values),
        ("FileObject", "purpose", list(schemas.Purpose.__args__)),
        ("VideoEvent", "type", ["video.started", "video.completed", "video.failed"]),
    ],
)
def test_fixed_values_are_listed(whole, schema, field, values):
    assert whole["components"]["schemas"][schema]["properties"][field].get("enum") == values


def test_what_a_model_can_take_is_listed(whole):
    takes = whole["components"]["schemas"]["ModelObject"]["properties"]["takes"]
    assert takes["items"]["enum"] == list(CAN_TAKE)
