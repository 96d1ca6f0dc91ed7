"""What the simulator makes of each wish: the files that it paints, and the way there from the adapter."""

import asyncio
import sqlite3
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from simulator import course
from simulator.course import BRIDGE, Course
from simulator.extras import Extras
from simulator.jobs import Job
from simulator.journal import Journal
from simulator.pictures import Picture
from simulator.render import Stills, render
from simulator.submission import Submission
from tests.support.simulator_process import Simulator, image_of, running
from videos.providers import adapter
from videos.providers.base import JobRequest

SMALL = (480, 480)


@pytest.fixture
def paint(tmp_path):
    """Paints a small picture with these extras, and returns the path of its MP4."""
    first, last = image_of("480x480"), image_of("480x480", left="teal", right="white")
    (tmp_path / "first").write_bytes(first)
    (tmp_path / "last").write_bytes(last)

    def paint(seconds: int = 1, reference: str = "", size: tuple[int, int] = SMALL, **extras) -> Path:
        picture = Picture("A heron takes off", seconds, *size, reference, Extras(**extras))
        render(picture, tmp_path, tmp_path)
        return tmp_path / f"{picture.name}.mp4"

    return paint


@pytest.fixture
def a_second_is_too_much(monkeypatch):
    """Small pictures are repeated as large ones are, after 30 frames."""
    for name in ("MAX_PIXELS", "MAX_PIXELS_OF_PHOTO"):
        monkeypatch.setattr(course, name, 30 * 480 * 480)


def frames_of(path: Path) -> list[Image.Image]:
    with av.open(str(path)) as file:
        return [frame.to_image() for frame in file.decode(video=0)]


def unlike(one: Image.Image, other: Image.Image) -> float:
    """How far apart two pictures are on average, from 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


def still(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data)).convert("RGB")


def above(frame: Image.Image) -> Image.Image:
    """The part of a picture that no caption covers."""
    return frame.crop((0, frame.height // 8, frame.width, frame.height // 2))


# --- Length, frame rate, sound, quality -----------------------------------------------------------


def check_file(path: Path, seconds: int, fps: int, has_sound: bool = True) -> None:
    """Every frame is there, in its place, and whole."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        assert (video.average_rate, video.frames, video.duration * video.time_base) == (
            *(fps, seconds * fps, seconds),
        )
        assert abs(file.duration / 1_000_000 - seconds) < 1 / fps
        assert len(file.streams.audio) == has_sound
        shown = [frame.pts * frame.time_base for frame in file.decode(video)]
        assert shown == [Fraction(number, fps) for number in range(seconds * fps)]
    with av.open(str(path)) as file:
        times = {stream.index: [] for stream in file.streams}
        for packet in file.demux():
            if packet.dts is not None:
                times[packet.stream_index].append(packet.dts)
        assert all(dts == sorted(set(dts)) for dts in times.values())
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("fps", [24, 30])
@pytest.mark.parametrize("seconds", [1, 3])
def test_a_video_has_the_asked_length_and_frame_rate(paint, seconds, fps):
    check_file(paint(seconds, fps=fps), seconds, fps)


@pytest.mark.parametrize("fps", [24, 30])
@pytest.mark.parametrize("reference", ["", "first"])
@pytest.mark.parametrize("last_frame", ["", "last"])
def test_a_video_that_repeats_itself_has_them_too(paint, a_second_is_too_much, fps, reference, last_frame):
    check_file(paint(7, reference, fps=fps, last_frame=last_frame), 7, fps)


@pytest.mark.parametrize("size", [(854, 480), (1138, 480), (1706, 720)])
def test_sizes_whose_colours_have_an_odd_number_of_columns_are_painted(paint, size):
    assert frames_of(paint(size=size, audio=False))[0].size == size


def test_without_sound_there_is_no_sound_track(paint):
    check_file(paint(audio=False), 1, 24, has_sound=False)


def test_hd_is_encoded_finer(paint):
    assert paint(quality="hd", audio=False).stat().st_size > 1.3 * paint(audio=False).stat().st_size


# --- Seed and negative prompt ---------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["", "first"])
def test_a_seed_and_a_negative_prompt_choose_another_picture_and_the_same_each_time(paint, reference):
    paths = [
        paint(1, reference, audio=False, **wish) for wish in ({}, {"seed": "7"}, {"negative_prompt": "x"})
    ]
    plain, seeded, without = [frames_of(path)[-1] for path in paths]
    assert min(unlike(plain, seeded), unlike(plain, without), unlike(seeded, without)) > 0.5
    before = paths[1].read_bytes()
    assert paint(1, reference, audio=False, seed="7").read_bytes() == before


def test_seeds_choose_among_many_scenes(paint):
    plain, *seeded = [frames_of(paint(audio=False, seed=seed))[0] for seed in ("", "1", "2", "3")]
    assert min(unlike(plain, other) for other in seeded) > 2


# --- First and last frame -------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1, 3])
@pytest.mark.parametrize("reference", ["", "first"])
def test_a_video_ends_on_its_last_frame_and_gets_there_softly(paint, tmp_path, seconds, reference):
    frames = frames_of(paint(seconds, reference, last_frame="last", audio=False))
    last = still((tmp_path / "last").read_bytes())
    distances = [unlike(frame, last) for frame in frames]
    assert max(distances[-6:]) < 3
    assert distances[len(frames) // 2 - 1] > 20
    assert max(unlike(*pair) for pair in pairwise(frames)) < distances[0] / 3
    if reference:
        assert unlike(above(frames[0]), above(still((tmp_path / "first").read_bytes()))) < 3


def test_a_video_that_repeats_itself_ends_on_its_last_frame(paint, a_second_is_too_much, tmp_path):
    frames = frames_of(paint(6, "first", last_frame="last", audio=False))
    last = still((tmp_path / "last").read_bytes())
    assert unlike(frames[-1], last) < 3
    assert unlike(frames[-40], last) > 20
    assert unlike(above(frames[0]), above(still((tmp_path / "first").read_bytes()))) < 3


# --- Repeats --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [0, 37])
@pytest.mark.parametrize("count", [24, 72, 1440, 1800])
@pytest.mark.parametrize("pixels", [480 * 480, 1920 * 1080, 2560 * 1080])
def test_the_frames_of_a_file_are_as_many_as_asked_and_few_of_them_are_painted(count, pixels, ending):
    plan = Course.of(count, pixels, ending=min(ending, count // 2))
    encoded = plan.length + plan.bridge + plan.tail
    assert len(plan.order) == count
    assert set(plan.order) == set(range(encoded))
    assert encoded <= count
    assert plan.painted * pixels <= 1.5 * course.MAX_PIXELS
    # Each jump within the file leads to a key frame.
    jumps = {after for before, after in pairwise(plan.order) if after != before + 1}
    assert jumps <= plan.keys
    assert plan.passes == 1 or count * pixels > course.MAX_PIXELS


@pytest.mark.parametrize("reference", ["", "first"])
def test_a_repeat_is_not_seen_as_a_jump(paint, a_second_is_too_much, reference):
    frames = frames_of(paint(4, reference, audio=False))
    steps = [unlike(*pair) for pair in pairwise(frames)]
    length = Course.of(96, 480 * 480).length
    within, beyond = steps[: length - 1], steps[length - 1 :]
    assert length < 96
    assert max(beyond) < 2 * max(within) + 1


def test_repeated_packets_are_the_same_bytes(paint, a_second_is_too_much):
    with av.open(str(paint(4, audio=False))) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.dts is not None]
    plan = Course.of(96, 480 * 480)
    assert plan.passes == 4
    assert packets[BRIDGE : plan.length] == packets[BRIDGE + plan.length : 2 * plan.length]


def test_the_sprite_sheet_shows_the_whole_length(paint, a_second_is_too_much, tmp_path):
    path = paint(5, "first", last_frame="last", audio=False)
    frames = frames_of(path)
    with Image.open(path.with_suffix(".jpg")) as sheet:
        tiles = [
            sheet.crop((x * 240, y * 240, x * 240 + 240, y * 240 + 240)) for y in range(2) for x in range(5)
        ]
    with Image.open(path.with_suffix(".webp")) as thumbnail:
        assert unlike(thumbnail, frames[40]) < 8
    for number, tile in enumerate(tiles):
        assert unlike(tile, frames[number * 12].resize((240, 240))) < 8
    assert unlike(tiles[-1], tiles[0]) > 20


def test_the_stills_of_a_video_without_repeats_are_taken_evenly():
    plan = Course.of(96, 480 * 480)
    assert plan.order == list(range(96))
    assert sorted(Stills(plan.order, SMALL)._places) == [0, 10, 20, 29, 39, 48, 58, 68, 77, 87]


# --- Requests and jobs of older versions ----------------------------------------------------------


def test_requests_and_pictures_without_extras_are_called_as_they_were_before_there_were_any():
    about = ("A kite", "sora-2", "4", "1280x720")
    assert [
        Submission(*about).hash[:16],
        Submission(*about, b"x", "video_1").hash[:16],
        Submission(*about, extras=Extras(seed="7")).hash[:16],
        Submission(*about, extras=Extras(negative_prompt="rain")).hash[:16],
        Picture("A kite", 4, 1280, 720).name[:16],
        Picture("A kite", 4, 1280, 720, "abc").name[:16],
    ] == [
        "29df66838b22ad70",
        "c286ee6acfd672cb",
        "eb27ec1a0177c1df",
        "6f1cad7a63be4e5a",
        "a76d01321afdc0df",
        "50c6e417877a0e29",
    ]


def test_each_extra_makes_another_request_and_another_picture():
    wishes = [
        *({}, {"seed": "7"}, {"negative_prompt": "7"}, {"audio": False}, {"fps": 30}, {"quality": "hd"}),
        *({"last_frame": "7"}, {"fps": 30, "quality": "hd"}, {"seed": "7", "audio": False}),
    ]
    extras = [Extras(**wish) for wish in wishes]
    hashes = {Submission("A kite", "sora-2", "4", "1280x720", extras=one).hash for one in extras}
    pictures = [Picture("A kite", 4, 1280, 720, "", one) for one in extras]
    assert len(hashes) == len({picture.name for picture in pictures}) == len(wishes)
    assert [Picture.from_line(picture.as_line.decode()) for picture in pictures] == pictures


def test_the_journal_of_an_older_version_is_opened_and_goes_on(tmp_path):
    path = tmp_path / "jobs.sqlite3"
    with sqlite3.connect(path) as older:
        older.execute(
            "CREATE TABLE jobs (number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, prompt TEXT NOT NULL,"
            " model TEXT NOT NULL, seconds TEXT NOT NULL, size TEXT NOT NULL, faults TEXT NOT NULL,"
            " picture TEXT NOT NULL, reference TEXT NOT NULL, remixed_from TEXT, created REAL NOT NULL,"
            " duration REAL NOT NULL, submit_key TEXT, body_hash TEXT NOT NULL, deleted REAL)"
        )
        older.execute(
            "INSERT INTO jobs VALUES (1, 'video_1', 'A kite', 'sora-2', '4', '1280x720', 'stuck', 'abc', '',"
            " NULL, 5, 10, 'key', 'hash', NULL)"
        )
    older.close()

    def job(number: int, extras: Extras) -> Job:
        return Job(
            *(
                number,
                f"video_{number}",
                "A kite",
                "sora-2",
                "4",
                "1280x720",
                frozenset(["stuck"]),
                "abc",
                "",
            ),
            *(None, 5.0, 10.0, "key", "hash", None, extras),
        )

    newer = job(2, Extras(seed="7", audio=False, fps=30, last_frame="def"))

    async def go_on() -> None:
        journal = Journal(path)
        assert journal.load(0) == [job(1, Extras())]
        await journal.add(newer)
        await journal.close()

    asyncio.run(go_on())
    again = Journal(path)
    assert again.load(0) == [job(1, Extras()), newer]
    asyncio.run(again.close())


# --- From the adapter to the file -----------------------------------------------------------------


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    with running(tmp_path_factory.mktemp("rendering")) as simulator:
        yield simulator


def ordered(simulator: Simulator, order: JobRequest, path: Path) -> Path:
    """The file that comes of an order, by way of the adapter."""

    async def run() -> bytes:
        async with adapter("openai")(simulator.base_url, "a-key") as provider:
            job = await provider.submit(order, f"submit {order.image is None} {order.extras}")
            while job.status not in ("completed", "failed"):
                await asyncio.sleep(0.05)
                job = await provider.check(job.ref)
            assert job.status == "completed"
            return b"".join([piece async for piece in provider.download(job.ref)])

    path.write_bytes(asyncio.run(run()))
    return path


@pytest.mark.parametrize("has_first", [True, False])
def test_an_order_with_every_wish_becomes_just_that_video(simulator, tmp_path, has_first):
    first = image_of("480x480", "JPEG") if has_first else None
    last = image_of("480x480", "JPEG", left="teal", right="white")
    extras = {"seed": 7, "negative_prompt": "rain", "audio": False, "fps": 30, "quality": "hd"}
    order = JobRequest("sora-2", "A heron", 480, 480, 2, first, extras, last)

    path = ordered(simulator, order, tmp_path / "video.mp4")

    check_file(path, 2, 30, has_sound=False)
    frames = frames_of(path)
    assert unlike(frames[-1], still(last)) < 3
    if first:
        assert unlike(above(frames[0]), above(still(first))) < 3


def test_sound_that_is_asked_for_is_there(simulator, tmp_path):
    order = JobRequest(
        "sora-2-pro", "A heron", 480, 480, 1, None, {"audio": True, "fps": 24, "quality": "standard"}
    )
    check_file(ordered(simulator, order, tmp_path / "video.mp4"), 1, 24)


def test_a_last_frame_may_be_a_file(simulator):
    boundary = "a-boundary"
    parts = [("prompt", "", b"x [sim:stuck]"), ("size", "", b"480x480")]
    parts += [("last_frame", '; filename="end.png"\r\nContent-Type: image/png', image_of("480x480"))]
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode()
        + value
        + b"\r\n"
        for name, more, value in parts
    )
    kind = f"multipart/form-data; boundary={boundary}"
    body += f"--{boundary}--\r\n".encode()
    assert simulator.call("POST", "/videos", data=body, Content_Type=kind).status == 200
    other = body.replace(b"480x480", b"480x854")
    answer = simulator.call("POST", "/videos", data=other, Content_Type=kind)
    assert (answer.status, answer.json["error"]["param"]) == (400, "last_frame")


def test_a_repeated_submit_with_other_extras_is_another_request(simulator):
    about = {"prompt": "x [sim:stuck]"}
    key = {"Idempotency_Key": "extras-1"}

    def made(**more):
        return simulator.call("POST", "/videos", data={**about, **more}, **key)

    first = made(audio=False, fps=30)
    assert made(audio="false", fps="30").json["id"] == first.json["id"]
    assert made(audio=False).json["error"]["code"] == "idempotency_key_reused"


def test_a_remix_keeps_what_was_asked_for_besides(simulator, tmp_path):
    extras = {"audio": False, "fps": 30}
    source = simulator.finished(simulator.create("A heron", size="480x480", seconds="1", extra_body=extras))
    remix = simulator.finished(simulator.client().videos.remix(source.id, prompt="The same at night"))
    path = tmp_path / "video.mp4"
    path.write_bytes(simulator.get(remix, "/content").body)
    check_file(path, 1, 30, has_sound=False)
