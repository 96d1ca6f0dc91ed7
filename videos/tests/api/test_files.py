"""Files of the API: pictures that are uploaded once, named in orders by their ids, and deleted."""

import io

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import BOUNDARY, encode_multipart
from PIL import Image

from tests.support.api_client import Program, error_of
from tests.support.completed import completed
from tests.support.fixtures import signed_in
from tests.support.sabotage import becomes, without
from videos.generation import lifecycle
from videos.media import uploads
from videos.models import Upload
from videos.worker import steps

pytestmark = pytest.mark.django_db

URL = "https://pictures.example.com/kite.png"


def picture(color="orange", name="kite.png", side=200):
    out = io.BytesIO()
    Image.new("RGB", (side, side), color).save(out, "PNG")
    return SimpleUploadedFile(name, out.getvalue(), "image/png")


def send_file(program, color="orange", purpose="vision", **options):
    return program.post("/v1/files", {"file": picture(color), "purpose": purpose}, **options)


def file_of(program, *colors):
    """The ids of files of these colors; of one color, its id alone."""
    ids = [send_file(program, color).json()["id"] for color in colors or ["orange"]]
    return ids if colors else ids[0]


def ids_in(answer):
    return [one["id"] for one in answer.json()["data"]]


def with_picture(file_id, **fields):
    return {"prompt": "A kite", "input_reference": {"file_id": file_id}, **fields}


# --- The five calls -------------------------------------------------------------------------------


def test_an_uploaded_file_is_openais_object_and_can_be_read_again(program, owner):
    answer = send_file(program)
    upload = owner.uploads.get()
    file = {
        "id": f"file_{upload.pk.hex}",
        "object": "file",
        "bytes": upload.file.size,
        "created_at": int(upload.created_at.timestamp()),
        "filename": "kite.png",
        "purpose": "vision",
        "status": "processed",
    }
    assert (answer.status_code, answer.json()) == (200, file)
    assert program.get(f"/v1/files/{file['id']}").json() == file
    content = program.get(f"/v1/files/{file['id']}/content")
    data = b"".join(content.streaming_content)
    assert (content["Content-Type"], len(data)) == ("image/jpeg", file["bytes"])
    assert Image.open(io.BytesIO(data)).size == (200, 200)
    part = program.get(f"/v1/files/{file['id']}/content", headers={"Range": "bytes=0-1"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, b"\xff\xd8")


def test_the_list_is_newest_first_and_goes_on_after_an_id(program):
    first, second, third = file_of(program, "red", "green", "blue")
    page = program.get("/v1/files?limit=2")
    assert ids_in(page) == [third, second]
    assert {name: page.json()[name] for name in ("object", "first_id", "last_id", "has_more")} == {
        "object": "list",
        "first_id": third,
        "last_id": second,
        "has_more": True,
    }
    rest = program.get(f"/v1/files?limit=2&after={second}").json()
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([first], False)
    assert ids_in(program.get("/v1/files?order=asc")) == [first, second, third]
    assert ids_in(program.get(f"/v1/files?order=asc&after={first}")) == [second, third]


def test_the_list_can_be_of_one_purpose(program):
    seen = send_file(program, "red", "vision").json()["id"]
    send_file(program, "blue", "user_data")
    assert ids_in(program.get("/v1/files?purpose=vision")) == [seen]
    assert ids_in(program.get("/v1/files?purpose=evals")) == []


@pytest.mark.parametrize("purpose", ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"])
def test_each_purpose_of_openais_is_taken(program, purpose):
    assert send_file(program, purpose=purpose).json()["purpose"] == purpose


@pytest.mark.parametrize("path", ["/v1/files", "/v1/videos"])
def test_a_body_in_chunks_as_the_sdk_for_javascript_sends_it_is_read(program, owner, path):
    fields = {"file": picture(), "purpose": "vision"}
    if path == "/v1/videos":
        fields = {"input_reference": picture(), "prompt": "A kite"}
    body = encode_multipart(BOUNDARY, fields)
    in_chunks = {"Transfer-Encoding": "chunked"}
    server = {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    kind = {"CONTENT_TYPE": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = program.generic("POST", path, headers=in_chunks, **server, **kind)
    assert answer.status_code == 200, answer.content
    assert owner.uploads.count() == 1


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"file": picture()}, "purpose", "missing_required_parameter"),
        ({"purpose": "vision"}, "file", "missing_required_parameter"),
        ({"purpose": "vision", "file": "kite.png"}, "file", "invalid_value"),
        ({"purpose": "fun", "file": picture()}, "purpose", "invalid_value"),
        ({"purpose": "vision", "file": picture(), "name": "x"}, "name", "unknown_parameter"),
        ({"purpose": "vision", "input_reference": picture()}, "input_reference", "unknown_parameter"),
        ({"purpose": "vision", "file": picture(side=20)}, "file", "invalid_value"),
        ({"purpose": "vision", "file": SimpleUploadedFile("x.png", b"no picture")}, "file", "invalid_value"),
        (
            {"purpose": "vision", "file": SimpleUploadedFile("x.png", b"x" * 10_000_001)},
            "file",
            "invalid_value",
        ),
    ],
)
def test_what_is_no_file_for_a_video_is_400_and_is_not_kept(program, fields, param, code):
    for value in fields.values():
        if not isinstance(value, str):
            value.seek(0)
    assert error_of(program.post("/v1/files", fields)) == (400, param, code)
    assert not Upload.objects.exists()


@pytest.mark.parametrize("query", ["user=1", "limit=0", "limit=10001", "order=up", "after=file_1"])
def test_the_list_takes_no_other_parameters_and_values(program, query):
    status, param, _code = error_of(program.get(f"/v1/files?{query}"))
    assert (status, param) == (404 if "after" in query else 400, query.partition("=")[0])


def test_an_upload_sent_twice_with_one_key_is_answered_once(program, owner):
    first, again = (send_file(program, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert again["Idempotent-Replayed"] == "true"
    other = send_file(program, "blue", headers={"Idempotency-Key": "k"})
    assert error_of(other) == (422, "Idempotency-Key", "idempotency_key_reused")
    assert owner.uploads.count() == 1


def test_the_same_picture_is_one_file_with_its_newest_name_and_purpose(program, owner):
    first = send_file(program).json()
    again = program.post("/v1/files", {"file": picture(name="hill.png"), "purpose": "user_data"}).json()
    assert again == first | {"filename": "hill.png", "purpose": "user_data"}
    assert owner.uploads.count() == 1


def test_a_picture_of_the_page_becomes_a_file_when_a_program_uploads_it_too(program, owner):
    upload = uploads.keep(owner, picture())
    assert program.get("/v1/files").json()["data"] == []
    assert program.get(f"/v1/files/file_{upload.pk.hex}").status_code == 404
    assert file_of(program) == f"file_{upload.pk.hex}"


def test_a_picture_that_is_cleaned_up_meanwhile_becomes_a_file_all_the_same(program, owner):
    uploads.keep(owner, picture().file)

    def clean_up(execute, sql, parameters, many, context):
        result = execute(sql, parameters, many, context)
        if "sha256" in sql:
            with connection.cursor() as cursor:
                cursor.cursor.execute("DELETE FROM videos_upload WHERE purpose = ''")
        return result

    with connection.execute_wrapper(clean_up):
        answer = send_file(program)
    assert (answer.status_code, answer.json()["purpose"]) == (200, "vision")
    assert Upload.objects.get().purpose == "vision"


def test_files_are_limited_in_number_and_each_deleted_one_makes_room(program, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_FILES", 2)
    first, _second = file_of(program, "red", "green")
    assert error_of(send_file(program, "blue")) == (409, None, "too_many_files")
    program.delete(f"/v1/files/{first}")
    assert send_file(program, "blue").status_code == 200


@without(
    "the owner of a file",
    "videos.media.uploads.files",
    becomes("user.uploads", "user.uploads.model.objects"),
    attack="A01",
)
def test_A01_A02_A06_somebody_elses_file_is_not_there(program, owner, stranger):
    file_id = file_of(program)
    other = Program(stranger)
    path = f"/v1/files/{file_id}"
    for answer in (
        other.get(path),
        other.get(f"{path}/content"),
        other.delete(path),
        other.get(f"/v1/files?after={file_id}"),
    ):
        assert error_of(answer)[0] == 404
    assert other.get("/v1/files").json()["data"] == []
    assert error_of(other.send("/v1/videos", with_picture(file_id)))[:2] == (400, "input_reference.file_id")
    assert program.get(path).status_code == 200


@pytest.mark.parametrize("name", ["nothing", "file_", "file_" + "g" * 32, "FILE_" + "0" * 32, "%00", "a:b"])
def test_what_is_no_id_is_404(program, name):
    for path in (f"/v1/files/{name}", f"/v1/files/{name}/content"):
        assert error_of(program.get(path)) == (404, None, "not_found")
    assert error_of(program.delete(f"/v1/files/{name}")) == (404, None, "not_found")


def test_a_file_needs_a_key_and_a_link_to_a_video_does_not(program, owner, client):
    file_id = file_of(program)
    completed(owner)
    link = program.get("/v1/videos").json()["data"][0]["url"].removeprefix("http://127.0.0.1:8000")
    assert client.get(link).status_code == 200
    assert program.get(link).status_code == 200
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content", "/v1/files"):
        assert error_of(client.get(path)) == (401, None, "invalid_api_key")


# --- In orders ------------------------------------------------------------------------------------


def test_files_are_the_first_and_the_last_frame_of_an_order(program, owner):
    first, last = file_of(program, "red", "blue")
    answer = program.send("/v1/videos", with_picture(first, last_frame={"file_id": last}))
    assert answer.status_code == 200, answer.content
    video = owner.videos.get()
    assert [f"file_{one.pk.hex}" for one in (video.upload, video.last_frame)] == [first, last]
    assert steps.job_request(video).image
    assert owner.uploads.count() == 2


def test_a_multipart_order_names_a_file_as_the_sdks_encode_it(program, owner):
    file_id = file_of(program)
    answer = program.post("/v1/videos", {"prompt": "A kite", "input_reference[file_id]": file_id})
    assert answer.status_code == 200, answer.content
    assert f"file_{owner.videos.get().upload.pk.hex}" == file_id


def test_the_items_of_a_batch_name_files_and_an_unknown_one_is_named_by_its_item(program, owner):
    first, last = file_of(program, "red", "blue")
    items = [{"prompt": "A"}, with_picture(last)]
    body = {"items": items, "defaults": {"input_reference": {"file_id": first}}}
    answer = program.send("/v1/batches/videos", body)
    assert answer.status_code == 200, answer.content
    used = [f"file_{video.upload.pk.hex}" for video in owner.videos.order_by("position")]
    assert used == [first, last]
    body["items"].append(with_picture("file_" + "0" * 32))
    refused = program.send("/v1/batches/videos", body)
    assert error_of(refused) == (400, "items.2.input_reference.file_id", "invalid_value")
    assert owner.videos.count() == 2


@pytest.mark.parametrize("field", ["input_reference", "last_frame"])
@pytest.mark.parametrize(
    ("named", "param"),
    [
        ({}, "image_url"),
        ({"image_url": URL, "file_id": "file_" + "0" * 32}, "file_id"),
        ({"file_id": "file_" + "0" * 32}, "file_id"),
        ({"file_id": "x"}, "file_id"),
        ({"file_id": 7}, "file_id"),
        ({"file_id": "a\x00"}, "file_id"),
        ({"name": "x"}, "name"),
    ],
)
def test_a_picture_is_one_url_or_one_file_of_the_account(program, owner, field, named, param):
    answer = program.send("/v1/videos", {"prompt": "A kite", field: named})
    assert error_of(answer)[:2] == (400, f"{field}.{param}")
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (100, 0)


def test_an_unknown_file_is_told_before_a_picture_is_fetched(program, monkeypatch):
    monkeypatch.setattr("videos.safe_http.fetch", lambda *_: pytest.fail("fetched"))
    body = {"prompt": "A", "input_reference": {"image_url": URL}, "last_frame": {"file_id": "file_1"}}
    assert error_of(program.send("/v1/videos", body))[:2] == (400, "last_frame.file_id")


def test_a_batch_has_at_most_eight_pictures_also_of_files(program, owner):
    ids = file_of(program, *(f"rgb({20 * number}, 0, 0)" for number in range(9)))
    items = [with_picture(file_id) for file_id in ids]
    answer = program.send("/v1/batches/videos", {"items": items})
    assert error_of(answer)[:2] == (400, "items.8.input_reference")
    again = [*items[:8], items[0]]  # the same picture again is none more
    assert program.send("/v1/batches/videos", {"items": again}).status_code == 200


def test_an_order_with_a_file_that_is_sent_twice_is_charged_once(program, owner):
    body = with_picture(file_of(program))
    answers = [program.send("/v1/videos", body, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    owner.refresh_from_db()
    assert (owner.balance, owner.videos.count()) == (90, 1)


# --- Deleting -------------------------------------------------------------------------------------


@pytest.fixture
def deleted(django_capture_on_commit_callbacks):
    """Deletes a file, and what follows from it once that is committed."""

    def delete(program, file_id):
        with django_capture_on_commit_callbacks(execute=True):
            return program.delete(f"/v1/files/{file_id}")

    return delete


def test_a_deleted_file_is_gone_with_its_picture_and_deleting_it_again_is_404(program, owner, deleted):
    file_id = file_of(program)
    name = owner.uploads.get().file.name
    answer = deleted(program, file_id)
    assert answer.json() == {"id": file_id, "object": "file", "deleted": True}
    assert not owner.uploads.exists()
    assert not default_storage.exists(name)
    assert error_of(deleted(program, file_id)) == (404, None, "not_found")
    assert error_of(program.send("/v1/videos", with_picture(file_id)))[:2] == (400, "input_reference.file_id")


@pytest.mark.parametrize("frame", ["input_reference", "last_frame"])
def test_a_running_video_keeps_the_picture_of_a_deleted_file(program, owner, deleted, frame):
    file_id = file_of(program)
    program.send("/v1/videos", {"prompt": "A kite", frame: {"file_id": file_id}})
    assert deleted(program, file_id).status_code == 200
    job = steps.job_request(owner.videos.get())
    assert job.image or job.last_frame
    # For programs it is gone all the same.
    assert error_of(program.get(f"/v1/files/{file_id}"))[0] == 404
    assert program.get("/v1/files").json()["data"] == []
    refused = program.send("/v1/videos", with_picture(file_id))
    assert error_of(refused)[:2] == (400, "input_reference.file_id")


def test_the_picture_of_a_deleted_file_goes_with_the_last_video_that_has_it(
    program, owner, deleted, django_capture_on_commit_callbacks
):
    file_id = file_of(program)
    for _ in range(2):
        program.send("/v1/videos", with_picture(file_id))
    name = owner.uploads.get().file.name
    deleted(program, file_id)
    for is_kept, video in zip((True, False), owner.videos.all(), strict=True):
        lifecycle.cancel(video)
        video.refresh_from_db()
        with django_capture_on_commit_callbacks(execute=True):
            lifecycle.delete(video)
        assert (owner.uploads.exists(), default_storage.exists(name)) == (is_kept, is_kept)


def test_a_file_outlives_the_videos_that_were_made_of_it(program, owner, django_capture_on_commit_callbacks):
    file_id = file_of(program)
    program.send("/v1/videos", with_picture(file_id))
    video = owner.videos.get()
    lifecycle.cancel(video)
    video.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.delete(video)
    assert program.get(f"/v1/files/{file_id}/content").status_code == 200


def test_a_file_outlives_pictures_that_no_order_used(program, owner, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UNUSED", 1)
    file_id = file_of(program)
    for color in ("red", "green", "blue"):
        uploads.keep(owner, picture(color))
    assert ids_in(program.get("/v1/files")) == [file_id]
    assert owner.uploads.count() == 3  # the file, the newest, and one more


def test_the_studio_shows_a_file_as_a_picture_of_its_owner(program, owner):
    file_of(program)
    page = signed_in(owner).get("/").content.decode()
    assert f"/uploads/{owner.uploads.get().pk}/" in page
