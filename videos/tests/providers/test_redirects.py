"""Where a provider sends us: for its files anywhere on the internet, for everything else nowhere but to itself."""

import asyncio
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from tests.support.http_server import Handler, LocalServer
from tests.support.provider_contract import FILE, order
from tests.support.sabotage import drop, never, without
from videos import safe_http
from videos.providers import adapter
from videos.providers.base import OutcomeUnknown, Unavailable

KINDS = ["openai", "fal"]
REDIRECTS = [301, 302, 303, 307, 308]


class Provider(Handler):
    """Finished jobs whose file is at `file`. A path in `moved` is answered by a redirect: its status and where to."""

    file = ""
    moved: dict[str, tuple[int, str]] = {}
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if self.path in self.moved:
            status, location = self.moved[self.path]
            self.reply(status, Location=location)
        elif path.endswith(".mp4") or (path.endswith("/content") and not self.file):
            self.reply(200, FILE, Content_Type="video/mp4")
        elif path.endswith("/content"):
            self.reply(404, b"{}")
        else:
            job = f'{{"id": "1", "object": "video", "status": "completed", "url": "{self.file}", "data": []}}'
            self.reply(200, job.encode())

    def do_POST(self):
        self.body()
        self.do_GET()


@pytest.fixture
def provider():
    handler = type("Provider", (Provider,), {"moved": {}, "asked": []})
    with LocalServer(handler) as server:
        handler.url = server.url
        yield handler


@pytest.fixture
def inside():
    """A server in our own network, with a file and a secret."""
    handler = type("Inside", (Provider,), {"moved": {}, "asked": []})
    with LocalServer(handler) as server:
        handler.url = server.url
        yield handler


def at(provider, do, kind="openai"):
    async def main():
        one = adapter(kind)(f"{provider.url}/v1", "key")
        try:
            return await asyncio.wait_for(do(one), 20)
        finally:
            await one.close()

    return asyncio.run(main())


async def file_of(one):
    return b"".join([piece async for piece in one.download("1")])


@without("the check of a file's address", "videos.providers.downloads._client", drop("to_thread"))
@without("the check of the address that is connected to", "videos.safe_http._socket_to", never("is_allowed"))
@pytest.mark.parametrize("kind", KINDS)
def test_A85_no_file_is_fetched_from_our_own_network(provider, inside, kind, monkeypatch):
    provider.file = f"{inside.url}/secret.mp4"
    with pytest.raises(Unavailable, match="private network"):
        at(provider, file_of, kind)
    # Nor where the name leads elsewhere when it is connected to than when it was checked.
    monkeypatch.setattr(safe_http, "check_server", lambda url: None)
    with pytest.raises(Unavailable):
        at(provider, file_of, kind)
    assert inside.asked == []


@pytest.mark.parametrize("status", REDIRECTS)
def test_A85_no_redirect_of_a_file_leads_there(provider, inside, status):
    provider.file = f"{provider.url}/moved.mp4"
    provider.moved["/moved.mp4"] = (status, f"{inside.url}/secret.mp4")
    with pytest.raises(Unavailable, match="private network"):
        at(provider, file_of)
    assert inside.asked == []


@without(
    "the redirects of a server to itself only",
    "videos.providers.redirects._check",
    never("is_same_server(to, url)"),
)
@pytest.mark.parametrize("status", REDIRECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_A85_no_redirect_of_a_request_leads_anywhere_else(provider, inside, kind, status):
    class Everything(dict):
        def __contains__(self, path):
            return True

        def __getitem__(self, path):
            return status, f"{inside.url}{path}"

    provider.moved = Everything()
    with pytest.raises(Unavailable):
        at(provider, lambda one: one.check("1"), kind)
    with pytest.raises(OutcomeUnknown):
        at(provider, lambda one: one.submit(order(), "key"), kind)
    with pytest.raises(Unavailable):
        at(provider, lambda one: one.jobs(datetime.now(UTC)), kind)
    with pytest.raises(Unavailable):
        at(provider, file_of, kind)
    assert inside.asked == []
    assert provider.asked


def test_files_come_from_networks_that_the_operator_allows(provider, inside, settings):
    settings.PRIVATE_NETWORKS_ALLOWED = [ip_network("127.0.0.1")]
    provider.file = f"{inside.url}/1.mp4"
    assert at(provider, file_of) == FILE
    provider.file = ""
    provider.moved["/v1/videos/1/content"] = (302, f"{inside.url}/2.mp4?signature=a%2Fb%2Bc")
    assert at(provider, file_of) == FILE
    # A signature is sent as it was given.
    assert inside.asked == ["/1.mp4", "/2.mp4?signature=a%2Fb%2Bc"]


@pytest.mark.parametrize(
    "location", ["/v1/elsewhere.mp4", "elsewhere.mp4?a=b", "http://LOCALHOST:{port}/v1/1.mp4"]
)
def test_a_server_may_redirect_to_itself(provider, location):
    location = location.format(port=provider.url.rpartition(":")[2])
    provider.url = provider.url.replace("127.0.0.1", "localhost")
    provider.moved["/v1/videos/1/content"] = (307, location)
    assert at(provider, file_of) == FILE
    provider.file = f"{provider.url}/v1/1.mp4"
    provider.moved = {"/v1/1.mp4": (302, location.replace("/1.mp4", "/2.mp4"))}
    assert at(provider, file_of) == FILE


@pytest.mark.parametrize("location", ["", "/loop.mp4", "http://[", "ftp://example.com/", "https://x:99999/"])
def test_a_redirect_that_leads_nowhere_is_tried_again_later(provider, location):
    provider.file = f"{provider.url}/loop.mp4"
    provider.moved["/loop.mp4"] = (302, location)
    with pytest.raises(Unavailable):
        at(provider, file_of)
    assert len(provider.asked) < 10
