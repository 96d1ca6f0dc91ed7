"""A stored file by byte range, as RFC 9110 has it."""

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.test import RequestFactory

from tests.support.sabotage import becomes_text, without
from videos.media import playback

TEN = b"0123456789"
WHOLE = (200, "10", None, TEN)

# Closing a response ends a request, which looks after the database connections.
pytestmark = pytest.mark.django_db


class Watched(FileSystemStorage):
    """Remembers what it opened last, so that a test can see whether it was closed."""

    opened = None

    def _open(self, name, mode="rb"):
        self.opened = super()._open(name, mode)
        return self.opened


@pytest.fixture
def storage(tmp_path):
    storage = Watched(tmp_path)
    storage.save("ten.mp4", ContentFile(TEN))
    yield storage
    if storage.opened:
        storage.opened.close()


def ask(storage, method="get", name="ten.mp4", download_as=None, **headers):
    request = getattr(RequestFactory(), method)(
        "/", headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
    return playback.serve(
        request, storage, name, etag="abc", content_type="video/mp4", download_as=download_as
    )


def told(response) -> tuple:
    body = b"".join(response)
    response.close()
    return response.status_code, response.get("Content-Length"), response.get("Content-Range"), body


@pytest.mark.parametrize(
    ("wanted", "content_range", "body"),
    [
        ("bytes=0-3", "bytes 0-3/10", b"0123"),
        ("bytes=4-", "bytes 4-9/10", b"456789"),
        ("bytes=0-", "bytes 0-9/10", TEN),
        ("bytes=9-9", "bytes 9-9/10", b"9"),
        ("bytes=7-999", "bytes 7-9/10", b"789"),
        ("bytes=-3", "bytes 7-9/10", b"789"),
        ("bytes=-999", "bytes 0-9/10", TEN),
        ("Bytes= 2-3 ", "bytes 2-3/10", b"23"),
    ],
)
def test_a_range_is_answered_with_its_part(storage, wanted, content_range, body):
    assert told(ask(storage, range=wanted)) == (206, str(len(body)), content_range, body)


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=" + "9" * 18 + "-"])
def test_a_range_beyond_the_end_is_answered_with_the_size(storage, wanted):
    assert told(ask(storage, range=wanted)) == (416, None, "bytes */10", b"")


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=3-1",
        "bytes=0-1,3-4",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=1.0-2",
        "bytes=--3",
        "bytes=+1-2",
        "bytes=\N{ARABIC-INDIC DIGIT ONE}-",
        "bytes=" + "9" * 5_000 + "-",
        "lines=0-3",
    ],
)
def test_a_malformed_or_multiple_range_is_answered_with_the_whole(storage, wanted):
    assert told(ask(storage, range=wanted)) == WHOLE


def test_without_a_range_the_whole_file_comes(storage):
    assert told(ask(storage)) == WHOLE


def test_an_empty_file_is_served_whole_and_has_no_ranges(storage):
    storage.save("empty", ContentFile(b""))

    assert told(ask(storage, name="empty")) == (200, "0", None, b"")
    assert told(ask(storage, name="empty", range="bytes=0-")) == (416, None, "bytes */0", b"")


def test_a_part_is_sent_if_the_client_holds_the_same_file(storage):
    assert told(ask(storage, range="bytes=8-", if_range='"abc"')) == (206, "2", "bytes 8-9/10", b"89")


@pytest.mark.parametrize("held", ['"other"', 'W/"abc"', "abc", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_the_whole_is_sent_if_the_client_may_hold_another_file(storage, held):
    assert told(ask(storage, range="bytes=8-", if_range=held)) == WHOLE


@pytest.mark.parametrize("held", ['"abc"', 'W/"abc"', '"x", "abc"', "*"])
def test_a_client_that_has_the_file_is_told_so(storage, held):
    response = ask(storage, range="bytes=8-", if_none_match=held)

    assert (response.status_code, response["ETag"], b"".join(response)) == (304, '"abc"', b"")


def test_a_client_that_insists_on_another_file_gets_none(storage):
    assert told(ask(storage, if_match='"other"'))[0] == 412


def test_head_tells_about_the_whole_file_and_sends_nothing(storage):
    response = ask(storage, "head", range="bytes=0-3")

    assert told(response) == (200, "10", None, b"")
    assert storage.opened.closed


@without(
    "the Cache-Control of a file",
    "videos.media.playback.serve",
    becomes_text("private, no-store", "public, max-age=86400"),
)
@pytest.mark.parametrize(
    ("method", "wanted"), [("get", ""), ("get", "bytes=2-3"), ("get", "bytes=99-"), ("head", "")]
)
def test_A05_every_answer_is_private_and_never_a_page_of_ours(storage, method, wanted):
    response = ask(storage, method, range=wanted)

    names = (
        "Accept-Ranges",
        "ETag",
        "Content-Disposition",
        "Cache-Control",
        "Vary",
        "X-Content-Type-Options",
        "Content-Security-Policy",
    )
    assert {name: response.get(name) for name in names} == {
        "Accept-Ranges": "bytes",
        "ETag": '"abc"',
        "Content-Disposition": "inline",
        "Cache-Control": "private, no-store",
        "Vary": "Cookie, Authorization",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def test_A23_whatever_the_file_holds_it_is_served_as_the_type_it_should_have(storage):
    storage.save("page.html", ContentFile(b"<script>alert(1)</script>"))

    assert ask(storage, name="page.html")["Content-Type"] == "video/mp4"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a cat.mp4", 'attachment; filename="a cat.mp4"'),
        ("猫.mp4", "attachment; filename*=utf-8''%E7%8C%AB.mp4"),
        ('../../etc/"x".mp4', 'attachment; filename=".._.._etc__x_.mp4"'),
        ("a\r\nSet-Cookie: b=c", 'attachment; filename="a__Set-Cookie_ b=c"'),
        ("a\0b.mp4", 'attachment; filename="a_b.mp4"'),
        ("clip\N{RIGHT-TO-LEFT OVERRIDE}4pm.exe", 'attachment; filename="clip_4pm.exe"'),
        ("", "attachment"),
    ],
)
def test_A22_a_download_has_a_harmless_name(storage, name, header):
    assert ask(storage, download_as=name)["Content-Disposition"] == header


def test_a_missing_file_is_the_callers_to_answer(storage):
    with pytest.raises(FileNotFoundError):
        ask(storage, name="gone.mp4")


def test_a_file_is_streamed_in_blocks(storage):
    storage.save("long", ContentFile(bytes(300_000)))

    assert [len(block) for block in ask(storage, name="long", range="bytes=1-")] == [131_072, 131_072, 37_855]


def test_the_end_of_a_file_of_5_GB_is_found(storage):
    with open(storage.path("huge"), "wb") as file:
        file.seek(5_000_000_000)
        file.write(b"end")

    expected = (206, "3", "bytes 5000000000-5000000002/5000000003", b"end")
    assert told(ask(storage, name="huge", range="bytes=-3")) == expected


@pytest.mark.parametrize("blocks_read", [0, 1])
def test_the_file_is_closed_when_the_client_goes_away(storage, blocks_read):
    storage.save("long", ContentFile(bytes(300_000)))
    response = ask(storage, name="long")
    for _, _block in zip(range(blocks_read), response, strict=False):
        assert not storage.opened.closed

    response.close()

    assert storage.opened.closed


def test_any_storage_will_do():
    storage = InMemoryStorage()
    storage.save("ten.mp4", ContentFile(TEN))

    assert told(ask(storage, range="bytes=2-4")) == (206, "3", "bytes 2-4/10", b"234")
