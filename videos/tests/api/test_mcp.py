"""`/mcp`: an agent's tools, and what its messages may not do."""

import json
import threading

import pytest
from django.db import connections
from django.test import Client

from accounts import api_keys
from accounts.models import ApiKey, CreditEntry, IdempotentAnswer
from aivideo import __version__
from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.fixtures import entries, new_user, order
from tests.support.other_clients import MCP, OLD_MCP, javascript, python
from tests.support.sabotage import drop, omit, without
from videos.api import mcp, moderation, spending
from videos.api.errors import bad_value
from videos.generation import lifecycle
from videos.models import Price, Video, VideoModel
from videos.serializers import public_id

pytestmark = pytest.mark.django_db

TOOLS = {"quote", "create_video", "get_video", "list_videos", "cancel_video", "get_credits"}


def post(program, message, **options):
    return program.post("/mcp", json.dumps(message), content_type="application/json", **options)


def request_of(method, params=None, number=1):
    return {"jsonrpc": "2.0", "id": number, "method": method} | ({} if params is None else {"params": params})


def result_of(program, method, params=None, **options):
    answer = post(program, request_of(method, params, 7), **options)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    said = answer.json()
    assert (said["jsonrpc"], said["id"]) == ("2.0", 7)
    return said["result"]


def call(program, name, headers=None, **arguments):
    """The result of a tool."""
    return result_of(program, "tools/call", {"name": name, "arguments": arguments}, headers=headers or {})


def value_of(program, name, **arguments):
    """The object that a tool returns."""
    result = call(program, name, **arguments)
    assert not result["isError"], result
    return result["structuredContent"]


def refusal_of(program, name, **arguments):
    """Param and code of a tool's error, which it also says in words."""
    result = call(program, name, **arguments)
    assert result["isError"]
    error = result["structuredContent"]["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert result["content"][0]["text"].startswith(error["message"])
    return error["param"], error["code"]


def rpc_error_of(answer):
    """The HTTP status, code and id of an error of the protocol."""
    said = answer.json()
    assert set(said) == {"jsonrpc", "id", "error"}
    assert said["error"]["message"]
    return answer.status_code, said["error"]["code"], said["id"]


def charged():
    return -sum(CreditEntry.objects.filter(kind="charge").values_list("amount", flat=True))


# --- The protocol ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [("2025-06-18", "2025-06-18"), ("2025-11-25", "2025-11-25"), ("2024-11-05", "2025-11-25")],
)
def test_a_client_and_the_site_agree_on_a_version(program, wanted, agreed):
    asked = {
        "protocolVersion": wanted,
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    }
    result = result_of(program, "initialize", asked)
    assert result["protocolVersion"] == agreed
    assert result["capabilities"] == {"tools": {}}
    assert result["serverInfo"]["name"] == "aivideo"
    answer = post(program, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (answer.status_code, answer.content) == (202, b"")
    assert result_of(program, "ping") == {}


def test_there_is_no_session(program):
    asked = {"protocolVersion": "2025-11-25", "capabilities": {}}
    assert "Mcp-Session-Id" not in post(program, request_of("initialize", asked))
    assert result_of(program, "ping", headers={"Mcp-Session-Id": "an old one"}) == {}


def test_each_tool_describes_what_it_takes_and_gives(program):
    tools = {tool["name"]: tool for tool in result_of(program, "tools/list")["tools"]}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert tool["description"]
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            assert schema["type"] == "object"
    assert tools["create_video"]["inputSchema"]["required"] == ["prompt", "max_credits"]
    assert tools["quote"]["inputSchema"]["required"] == ["prompt"]
    assert {name for name in TOOLS if tools[name]["annotations"]["readOnlyHint"]} == TOOLS - {
        "create_video",
        "cancel_video",
    }


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
def test_only_post_is_answered(program, method):
    answer = program.generic(method, "/mcp")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", (400, mcp.PARSE_ERROR, None)),
        (b"{", (400, mcp.PARSE_ERROR, None)),
        (b"\xff", (400, mcp.PARSE_ERROR, None)),
        (b'{"a":' * 100_000, (400, mcp.PARSE_ERROR, None)),
        (b"1", (400, mcp.INVALID_REQUEST, None)),
        (b"null", (400, mcp.INVALID_REQUEST, None)),
        (b"{}", (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": 1}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', (400, mcp.INVALID_REQUEST, None)),
        (b'{"jsonrpc": "2.0", "id": "a", "method": "pong"}', (200, mcp.UNKNOWN_METHOD, "a")),
        (b'{"jsonrpc": "2.0", "id": 2, "method": "ping", "params": [1]}', (200, mcp.INVALID_PARAMS, 2)),
        (b'{"jsonrpc": "2.0", "id": 2, "method": "ping", "params": null}', (200, mcp.INVALID_PARAMS, 2)),
        (b'{"jsonrpc": "2.0", "id": 2, "method": "initialize"}', (200, mcp.INVALID_PARAMS, 2)),
    ],
)
def test_what_is_no_message_is_an_error_of_the_protocol(program, body, error):
    answer = program.post("/mcp", body, content_type="application/json")
    assert rpc_error_of(answer) == error


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"name": "delete_video"},
        {"name": 5},
        {"name": ["quote"]},
        {"name": "get_credits", "arguments": []},
        {"name": "get_credits", "arguments": "{}"},
    ],
)
def test_an_unknown_tool_and_arguments_that_are_none_are_errors_of_the_protocol(program, params):
    assert rpc_error_of(post(program, request_of("tools/call", params))) == (200, mcp.INVALID_PARAMS, 1)
    assert result_of(program, "tools/call", {"name": "get_credits"})["structuredContent"]["balance"] == 100
    assert rpc_error_of(post(program, request_of("tools/list", {"cursor": "2"})))[1] == mcp.INVALID_PARAMS


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_batch_is_one_error_and_nothing_of_it_is_done(program, owner, count):
    wanted = {"name": "create_video", "arguments": {"prompt": "A kite", "max_credits": 10}}
    answer = post(program, [request_of("tools/call", wanted, number) for number in range(count)])
    assert rpc_error_of(answer) == (400, mcp.INVALID_REQUEST, None)
    assert not owner.videos.exists()


def test_a_batch_is_not_even_parsed(program):
    """Else this one, which has no end, would be a parse error."""
    answer = program.post("/mcp", b" \n[" + b"{}," * 100_000, content_type="application/json")
    assert rpc_error_of(answer) == (400, mcp.INVALID_REQUEST, None)


def test_a_call_that_wants_no_answer_orders_nothing(program, owner):
    """Nobody would know of the video."""
    params = {"name": "create_video", "arguments": {"prompt": "A kite", "max_credits": 10}}
    for message in (
        {"jsonrpc": "2.0", "method": "tools/call", "params": params},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "method": "notifications/unknown"},
    ):
        answer = post(program, message)
        assert (answer.status_code, answer.content) == (202, b"")
    assert not owner.videos.exists()


def test_a_version_that_is_not_spoken_here_is_refused_after_the_start(program):
    new = {"MCP-Protocol-Version": "2099-01-01"}
    answer = post(program, request_of("ping"), headers=new)
    assert rpc_error_of(answer) == (400, mcp.UNSUPPORTED_VERSION, 1)
    assert answer.json()["error"]["data"] == {"supported": list(mcp.VERSIONS), "requested": "2099-01-01"}
    for version in ("2025-11-25", "2025-06-18"):
        assert result_of(program, "ping", headers={"MCP-Protocol-Version": version}) == {}
    asked = {"protocolVersion": "2099-01-01"}
    assert result_of(program, "initialize", asked, headers=new)["protocolVersion"] == "2025-11-25"


# --- The revision 2026-07-28, without a handshake ---------------------------------------------------

META = {mcp.META_VERSION: "2026-07-28", mcp.META_CAPABILITIES: {}}
HEADERS = {"MCP-Protocol-Version": "2026-07-28"}
SERVER = {mcp.META_SERVER: {"name": "aivideo", "version": __version__}}
CACHE = {"ttlMs": 300_000, "cacheScope": "public"}


def send_new(program, method, headers=None, meta=META, **params):
    """Send a request as this revision wants it, except for what is said otherwise."""
    expected = HEADERS | {"Mcp-Method": method} | ({"Mcp-Name": params["name"]} if "name" in params else {})
    sent = {name: value for name, value in (expected | (headers or {})).items() if value is not None}
    return post(program, request_of(method, {"_meta": meta, **params}), headers=sent)


def test_a_server_says_what_it_can_without_a_handshake(program):
    answer = send_new(program, "server/discover")
    assert (answer.status_code, answer.json()["result"]) == (
        200,
        {
            "resultType": "complete",
            "supportedVersions": ["2026-07-28", "2025-11-25", "2025-06-18"],
            "capabilities": {"tools": {}},
            "instructions": mcp.INSTRUCTIONS,
            "_meta": SERVER,
            **CACHE,
        },
    )


def test_tools_are_the_same_in_each_revision_and_may_be_cached(program):
    tools = result_of(program, "tools/list")
    assert send_new(program, "tools/list").json()["result"] == {
        "resultType": "complete",
        "_meta": SERVER,
        **tools,
        **CACHE,
    }


def test_the_result_of_a_tool_is_complete_and_not_to_be_cached(program):
    called = result_of(program, "tools/call", {"name": "get_credits"})
    answer = send_new(program, "tools/call", name="get_credits")
    assert answer.json()["result"] == {"resultType": "complete", "_meta": SERVER, **called}


def test_a_name_may_be_encoded(program):
    encoded = {"Mcp-Name": "=?base64?Z2V0X2NyZWRpdHM=?="}
    result = send_new(program, "tools/call", encoded, name="get_credits").json()["result"]
    assert result["structuredContent"]["balance"] == 100


@without("the comparison of headers and body", "videos.api.mcp._version", drop("_check_metadata"))
@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": None},
        {"MCP-Protocol-Version": "2025-11-25"},
        {"Mcp-Method": None},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Name": None},
        {"Mcp-Name": "quote"},
        {"Mcp-Name": "=?base64?Z2V0X2NyZWRpdHM=?="},
        {"Mcp-Name": "=?base64?\u00e9?="},
        {"Mcp-Name": "=?base64?/w==?="},
    ],
)
def test_headers_that_disagree_with_the_body_are_refused_and_nothing_is_ordered(program, owner, headers):
    wanted = {"name": "create_video", "arguments": {"prompt": "A kite", "max_credits": 10}}
    answer = send_new(program, "tools/call", headers, **wanted)
    assert rpc_error_of(answer) == (400, mcp.HEADER_MISMATCH, 1)
    assert not owner.videos.exists()


@pytest.mark.parametrize(
    "meta",
    [
        None,
        "2026-07-28",
        {},
        {mcp.META_VERSION: "2026-07-28"},
        {mcp.META_CAPABILITIES: {}},
        {mcp.META_VERSION: 20260728, mcp.META_CAPABILITIES: {}},
        {mcp.META_VERSION: "2026-07-28", mcp.META_CAPABILITIES: None},
    ],
)
def test_a_request_that_lacks_its_version_or_capabilities_is_refused(program, meta):
    answer = send_new(program, "tools/list", meta=meta)
    assert rpc_error_of(answer) == (400, mcp.INVALID_PARAMS, 1)


def test_a_newer_version_than_any_is_told_which_ones_there_are(program):
    newer = "2099-01-01"
    answer = send_new(
        program, "tools/list", {"MCP-Protocol-Version": newer}, META | {mcp.META_VERSION: newer}
    )
    assert rpc_error_of(answer) == (400, mcp.UNSUPPORTED_VERSION, 1)
    assert answer.json()["error"]["data"]["supported"] == list(mcp.VERSIONS)


def test_errors_have_a_status_of_their_own(program):
    for method in ("ping", "resources/list", "subscriptions/listen"):
        assert rpc_error_of(send_new(program, method)) == (404, mcp.UNKNOWN_METHOD, 1)
    unknown = send_new(program, "tools/call", name="delete_video")
    assert rpc_error_of(unknown) == (400, mcp.INVALID_PARAMS, 1)
    assert rpc_error_of(post(program, request_of("server/discover"))) == (200, mcp.UNKNOWN_METHOD, 1)


def test_a_notification_needs_no_meta(program):
    answer = post(program, {"jsonrpc": "2.0", "method": "notifications/cancelled"}, headers=HEADERS)
    assert (answer.status_code, answer.content) == (202, b"")


# --- Keys and limits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer av_live_x"}, {"Authorization": "Basic eDp5"}]
)
def test_without_a_valid_key_nothing_is_answered(headers, as_owner):
    for client in (Client(enforce_csrf_checks=True), as_owner):
        answer = post(client, request_of("ping"), headers=headers)
        assert error_of(answer) == (401, None, "invalid_api_key")
        assert answer["WWW-Authenticate"] == "Bearer"


def test_a_key_needs_no_csrf_token(program):
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {program.text}"})
    assert result_of(client, "ping") == {}


def test_a_key_that_is_revoked_meanwhile_orders_nothing(program, owner):
    price = value_of(program, "quote", prompt="A kite")["credits"]
    api_keys.revoke(program.key)
    wanted = {"name": "create_video", "arguments": {"prompt": "A kite", "max_credits": price}}
    answer = post(program, request_of("tools/call", wanted))
    assert error_of(answer) == (401, None, "invalid_api_key")
    assert charged() == 0


def test_the_rate_limit_of_the_key_counts_here_too(program, settings):
    settings.API_REQUESTS_A_MINUTE = 2
    for _ in range(2):
        assert post(program, request_of("ping"))["RateLimit-Limit"] == "2"
    answer = post(program, request_of("ping"))
    assert error_of(answer) == (429, None, "rate_limit_exceeded")
    assert int(answer["Retry-After"]) > 0


def test_a_body_that_is_too_large_is_413(program):
    answer = program.post("/mcp", b" " * (20 * 1024**2 + 1), content_type="application/json")
    assert error_of(answer) == (413, None, "body_too_large")


def test_pages_of_other_sites_may_call_it_with_a_key(program):
    origin = {"Origin": "https://elsewhere.example"}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,mcp-protocol-version",
    }
    allowed = Client().options("/mcp", headers=origin | asked)
    assert allowed.status_code == 204
    assert {"Authorization", "mcp-protocol-version"} <= set(
        allowed["Access-Control-Allow-Headers"].split(", ")
    )
    assert post(program, request_of("ping"), headers=origin)["Access-Control-Allow-Origin"] == "*"
    assert post(Client(), request_of("ping"), headers=origin).status_code == 401


# --- The tools -------------------------------------------------------------------------------------


def test_a_quote_is_that_of_the_api(program, owner):
    asked = {"prompt": "A kite", "seconds": 8, "n": 2}
    assert value_of(program, "quote", **asked) == program.send("/v1/videos/quote", asked).json()
    assert not owner.videos.exists()


def test_a_video_that_an_agent_orders_is_that_of_the_api(program, owner):
    result = call(program, "create_video", prompt="A kite", seconds=4, max_credits=10)
    video = owner.videos.get()
    shown = result["structuredContent"]
    assert shown["id"] == public_id(video.pk)
    assert (shown["status"], shown["credits"]) == ("queued", 10)
    assert video.api_key_id == program.key.pk
    assert entries(video) == [("charge", -10)]
    assert shown["id"] in result["content"][0]["text"]
    got = value_of(program, "get_video", video_id=shown["id"])
    assert got == program.get(f"/v1/videos/{shown['id']}").json()
    assert got["queue_position"] == 1


def test_several_at_once_are_paid_together(program, owner):
    result = call(program, "create_video", prompt="A kite", n=3, max_credits=30)
    assert "for 30 credits" in result["content"][0]["text"]
    assert owner.videos.count() == 3
    assert charged() == 30


def test_a_completed_video_is_links_that_an_agent_can_show_without_a_key(program, owner):
    video = completed(owner)
    video_id = public_id(video.pk)
    result = call(program, "get_video", video_id=video_id)
    text, *links = result["content"]
    assert "completed" in text["text"]
    url = result["structuredContent"]["url"]
    kind = {"type": "resource_link"}
    file = {**kind, "uri": url, "name": f"{video_id}.mp4", "mimeType": "video/mp4"}
    poster = {**kind, "uri": f"{url}?variant=thumbnail", "name": f"{video_id}.webp", "mimeType": "image/webp"}
    assert links == [file, poster]
    for link in links:
        assert Client().get(link["uri"])["Content-Type"] == link["mimeType"]
    Video.objects.filter(pk=video.pk).update(poster="")
    assert call(program, "get_video", video_id=video_id)["content"][1:] == [file]


def test_videos_are_listed_by_pages(program, owner):
    for number in range(3):
        order(owner, f"Kite {number}")
    first = value_of(program, "list_videos", limit=2)
    assert first == program.get("/v1/videos?limit=2").json()
    rest = value_of(program, "list_videos", limit=2, after=first["last_id"])
    assert [video["prompt"] for video in rest["data"]] == ["Kite 0"]
    assert "more" in call(program, "list_videos", limit=2)["content"][0]["text"]


def test_canceling_refunds_once(program, owner):
    video = order(owner)
    video_id = public_id(video.pk)
    for _ in range(2):
        canceled = value_of(program, "cancel_video", video_id=video_id)
        assert (canceled["status"], canceled["error"]["code"]) == ("failed", "canceled")
    assert entries(video) == [("charge", -10), ("refund", 10)]


def test_credits_are_those_of_the_api(program, owner):
    order(owner)
    assert value_of(program, "get_credits") == program.get("/v1/credits").json()
    assert value_of(program, "get_credits")["reserved"] == 10


def test_a_running_or_ended_video_cannot_be_canceled(program, owner):
    video = order(owner)
    lifecycle.mark_submitting(video)
    assert refusal_of(program, "cancel_video", video_id=public_id(video.pk)) == (None, "video_in_progress")
    done = public_id(completed(owner).pk)
    assert refusal_of(program, "cancel_video", video_id=done) == (None, "video_ended")


def test_a_strangers_video_does_not_exist(program, stranger):
    video_id = public_id(order(stranger).pk)
    for tool in ("get_video", "cancel_video"):
        assert refusal_of(program, tool, video_id=video_id) == (None, "not_found")
    assert refusal_of(program, "list_videos", after=video_id) == ("after", "not_found")


@pytest.mark.parametrize(
    ("tool", "arguments", "error"),
    [
        ("create_video", {"prompt": "A"}, ("max_credits", "missing_required_parameter")),
        ("create_video", {"max_credits": 10}, ("prompt", "missing_required_parameter")),
        ("create_video", {"prompt": "A", "max_credits": -1}, ("max_credits", "invalid_value")),
        ("create_video", {"prompt": "A", "max_credits": "all"}, ("max_credits", "invalid_value")),
        ("create_video", {"prompt": "A", "max_credits": None}, ("max_credits", "invalid_value")),
        ("create_video", {"prompt": "A", "max_credits": 9}, ("max_credits", "price_changed")),
        ("create_video", {"prompt": "A", "max_credits": 19, "n": 2}, ("max_credits", "price_changed")),
        ("create_video", {"prompt": "A", "max_credits": 99, "cost": 0}, ("cost", "unknown_parameter")),
        ("create_video", {"prompt": "A", "max_credits": 99, "seconds": "61"}, ("seconds", "invalid_value")),
        ("create_video", {"prompt": "A", "max_credits": 99, "duration": "x"}, ("duration", "invalid_value")),
        ("create_video", {"prompt": "\0", "max_credits": 99}, ("prompt", "invalid_value")),
        ("create_video", {"prompt": "A", "max_credits": 99, "model": "x"}, ("model", "model_not_found")),
        (
            "create_video",
            {"prompt": "A", "max_credits": 99, "idempotency_key": ""},
            ("idempotency_key", "invalid_value"),
        ),
        (
            "create_video",
            {"prompt": "A", "max_credits": 99, "idempotency_key": 5},
            ("idempotency_key", "invalid_value"),
        ),
        ("quote", {"prompt": "A", "cost": 9}, ("cost", "unknown_parameter")),
        ("quote", {}, ("prompt", "missing_required_parameter")),
        ("get_video", {}, ("video_id", "missing_required_parameter")),
        ("get_video", {"video_id": "x\0"}, (None, "not_found")),
        ("list_videos", {"limit": 101}, ("limit", "invalid_value")),
        ("list_videos", {"order": "up"}, ("order", "invalid_value")),
        ("get_credits", {"of": "all"}, ("of", "unknown_parameter")),
    ],
)
def test_a_wrong_value_is_told_to_the_agent_and_costs_nothing(program, owner, tool, arguments, error):
    for _ in range(2):
        assert refusal_of(program, tool, **arguments) == error
    assert charged() == 0
    assert not owner.videos.exists()
    assert not IdempotentAnswer.objects.exists()


def test_what_moderation_refuses_is_told_and_costs_nothing(program, monkeypatch):
    def refuse(*_args):
        raise bad_value("prompt", "Not allowed.", "moderation_blocked")

    monkeypatch.setattr(moderation, "one", refuse)
    assert refusal_of(program, "create_video", prompt="A", max_credits=10) == ("prompt", "moderation_blocked")
    assert charged() == 0


# --- The purse -------------------------------------------------------------------------------------


@without("the price that an agent allows", "videos.api.tools._create_video", omit("max_credits"))
def test_a_price_that_rises_after_the_quote_is_not_charged(program):
    price = value_of(program, "quote", prompt="A kite", seconds="8")["credits"]
    Price.objects.create(model=VideoModel.objects.get(slug="sora-2"), seconds=8, credits=price + 1)
    asked = {"prompt": "A kite", "seconds": "8", "idempotency_key": "one"}
    assert refusal_of(program, "create_video", max_credits=price, **asked) == ("max_credits", "price_changed")
    assert charged() == 0
    value_of(program, "create_video", max_credits=price + 1, **asked)
    assert charged() == price + 1


@without("the limits of an agent's key", "videos.api.actions.place", drop("check"))
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_credits": 15}, "key_limit_reached"),
        ({"credits_a_day": 15}, "daily_limit_reached"),
        ({}, "insufficient_credits"),
    ],
)
def test_a_purse_that_is_used_up_after_the_quote_pays_nothing_more(limits, code):
    owner = new_user()
    program = Program(owner, **limits)
    assert value_of(program, "quote", prompt="A kite")["accepted"]
    spent = 1 if limits else 10
    for _ in range(spent):
        value_of(program, "create_video", prompt="Another", max_credits=10)
    for _ in range(2):
        assert refusal_of(program, "create_video", prompt="A kite", max_credits=10) == (None, code)
    assert value_of(program, "quote", prompt="A kite")["error"]["code"] == code
    assert charged() == 10 * spent


def test_credits_that_are_spent_while_a_call_is_prepared_pay_nothing_more(program, owner, monkeypatch):
    monkeypatch.setattr(spending, "afford", lambda *_args: None)  # it was asked before they were spent
    for _ in range(10):
        order(owner)
    before = charged()
    for _ in range(2):
        refusal = refusal_of(program, "create_video", prompt="A kite", max_credits=10, idempotency_key="one")
        assert refusal == (None, "insufficient_credits")
    assert charged() == before
    assert not IdempotentAnswer.objects.exists()


@without("the idempotency_key of a call", "videos.api.tools._create_video", omit("idempotency_key"))
def test_A26_a_repeat_is_the_same_video(program, owner):
    asked = {"prompt": "A kite", "max_credits": 10, "idempotency_key": "one"}
    first = value_of(program, "create_video", **asked)
    again = call(program, "create_video", **asked | {"max_credits": 20})
    assert again["structuredContent"] == first
    assert "Nothing more was charged" in again["content"][0]["text"]
    assert entries(owner.videos.get()) == [("charge", -10)]
    other = refusal_of(program, "create_video", **asked | {"prompt": "B"})
    assert other == ("idempotency_key", "idempotency_key_reused")
    assert charged() == 10


def test_a_repeat_with_the_header_is_the_same_video_and_the_argument_goes_first(program, owner):
    header = {"Idempotency-Key": "one"}
    asked = {"prompt": "A kite", "max_credits": 10}
    first, again = (call(program, "create_video", headers=header, **asked) for _ in range(2))
    assert again["structuredContent"] == first["structuredContent"]
    other = call(program, "create_video", headers=header, idempotency_key="two", **asked)
    assert other["structuredContent"]["id"] != first["structuredContent"]["id"]
    assert charged() == 20


def test_two_equal_calls_without_a_key_of_their_own_are_two_videos(program, owner):
    for _ in range(2):
        value_of(program, "create_video", prompt="A kite", max_credits=10)
    assert owner.videos.count() == 2


def test_equal_calls_within_the_repeat_window_of_the_key_are_one_video(program, owner):
    ApiKey.objects.filter(pk=program.key.pk).update(repeat_window=60)
    first, again = (value_of(program, "create_video", prompt="A kite", max_credits=10) for _ in range(2))
    assert again == first
    assert charged() == 10


@pytest.mark.django_db(transaction=True)
def test_two_at_once_with_one_key_are_one_video_and_one_charge():
    program = Program(new_user())
    results, start = [], threading.Barrier(2)

    def send():
        start.wait()
        try:
            asked = {"prompt": "A kite", "max_credits": 10, "idempotency_key": "one"}
            results.append(value_of(program, "create_video", **asked))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1]
    assert Video.objects.count() == 1
    assert charged() == 10


# --- The official clients --------------------------------------------------------------------------

PYTHON = """
import asyncio, json, sys
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

async def main(url, key):
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="MODE") as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            quote = await client.call_tool("quote", {"prompt": "A kite"})
            asked = {"prompt": "A kite", "idempotency_key": "one", "max_credits": quote.structured_content["credits"]}
            first = await client.call_tool("create_video", asked)
            again = await client.call_tool("create_video", asked)
            video = first.structured_content["id"]
            refused = await client.call_tool("create_video", asked | {"idempotency_key": "two", "max_credits": 1})
            got = await client.call_tool("get_video", {"video_id": video})
            listed = await client.call_tool("list_videos", {})
            canceled = await client.call_tool("cancel_video", {"video_id": video})
            held = await client.call_tool("get_credits", {})
            print(json.dumps({
                "version": client.protocol_version,
                "tools": sorted(tools),
                "is_same": first.structured_content == again.structured_content,
                "refused": [refused.is_error, refused.structured_content["error"]["code"]],
                "states": [got.structured_content["status"], canceled.structured_content["status"]],
                "listed": len(listed.structured_content["data"]),
                "balance": held.structured_content["balance"],
            }))

asyncio.run(main(*sys.argv[1:]))
"""


JAVASCRIPT = """
const [url, key] = process.argv.slice(2);
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
const client = new Client({ name: "tests", version: "1" }, options);
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
const call = (name, args) => client.callTool({ name, arguments: args });
const { tools } = await client.listTools();
const quote = await call("quote", { prompt: "A kite" });
const asked = { prompt: "A kite", idempotency_key: "one", max_credits: quote.structuredContent.credits };
const first = await call("create_video", asked);
const again = await call("create_video", asked);
const video_id = first.structuredContent.id;
const refused = await call("create_video", { ...asked, idempotency_key: "two", max_credits: 1 });
const got = await call("get_video", { video_id });
const listed = await call("list_videos", {});
const canceled = await call("cancel_video", { video_id });
const held = await call("get_credits", {});
console.log(JSON.stringify({
  version: client.getNegotiatedProtocolVersion?.() ?? "2025-11-25",
  tools: tools.map((tool) => tool.name).sort(),
  is_same: JSON.stringify(first.structuredContent) === JSON.stringify(again.structuredContent),
  refused: [refused.isError, refused.structuredContent.error.code],
  states: [got.structuredContent.status, canceled.structuredContent.status],
  listed: listed.structuredContent.data.length,
  balance: held.structuredContent.balance,
}));
await client.close();
"""

DONE = {
    "tools": sorted(TOOLS),
    "is_same": True,
    "refused": [True, "price_changed"],
    "states": ["queued", "failed"],
    "listed": 1,
    "balance": 100,
}


def said_to(live_server, program, source, **options):
    return json.loads(program(source, f"{live_server.url}/mcp", Program(new_user()).text, **options))


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
@pytest.mark.django_db(transaction=True)
def test_the_client_for_python_quotes_orders_and_cancels(live_server, mode, version):
    said = said_to(live_server, python, PYTHON.replace("MODE", mode), packages="mcp")
    assert said == {"version": version, **DONE}


@pytest.mark.parametrize(("imports", "version"), [(MCP, "2026-07-28"), (OLD_MCP, "2025-11-25")])
@pytest.mark.django_db(transaction=True)
def test_the_clients_for_javascript_quote_order_and_cancel(live_server, imports, version):
    assert said_to(live_server, javascript, imports + JAVASCRIPT) == {"version": version, **DONE}
