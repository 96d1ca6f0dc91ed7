"""The files of a finished video, fetched over real HTTP."""

import io
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import av
import pytest
from PIL import Image

from simulator.caption import caption_layers
from simulator.faults import without_tags
from simulator.pictures import Picture
from tests.support.fixtures import scaled_timeout
from tests.support.simulator_process import PROJECT, PROMPT, image_of, running


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    """It paints whole videos."""
    with running(tmp_path_factory.mktemp("simulator"), SIMULATOR_DRAFT="") as simulator:
        yield simulator


@pytest.mark.parametrize(("size", "seconds"), [("1280x720", "4"), ("720x1280", "8"), ("1024x1024", "4")])
def test_the_file_is_a_streamable_mp4_of_the_asked_size_and_length_with_sound(simulator, size, seconds):
    video = simulator.finished(simulator.create("A quiet harbour", size=size, seconds=seconds))

    content = simulator.client().videos.download_content(video.id)
    data = content.read()

    assert content.response.headers["content-type"] == "video/mp4"
    assert int(content.response.headers["content-length"]) == len(data)
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(io.BytesIO(data)) as file:
        picture, sound = file.streams.video[0], file.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert f"{picture.width}x{picture.height}" == size
        assert picture.average_rate == 24
        assert abs(file.duration / 1_000_000 - int(seconds)) < 0.1
        assert sum(1 for _ in file.decode(picture)) == int(seconds) * 24
    with av.open(io.BytesIO(data)) as file:
        loudest = max(
            max(abs(sample) for sample in memoryview(frame.planes[0]).cast("f"))
            for frame in file.decode(audio=0)
        )
        assert 0.005 < loudest < 0.5


def test_there_are_a_thumbnail_and_a_sprite_sheet(simulator):
    video = simulator.finished(simulator.create("A quiet harbour", size="1280x720"))

    for variant, kind, size in (("thumbnail", "WEBP", (960, 540)), ("spritesheet", "JPEG", (1200, 270))):
        content = simulator.client().videos.download_content(video.id, variant=variant)
        with Image.open(io.BytesIO(content.read())) as image:
            image.load()
            assert (image.format, image.size) == (kind, size)
        assert content.response.headers["content-type"] == f"image/{kind.lower()}"
    assert simulator.get(video, "/content?variant=poster").json["error"]["param"] == "variant"


def test_a_file_comes_by_byte_range(simulator):
    video = simulator.finished(simulator.create())
    whole = simulator.get(video, "/content").body

    part = simulator.get(video, "/content", Range="bytes=100-199")
    beyond = simulator.get(video, "/content", Range=f"bytes={len(whole)}-")

    assert (part.status, part.body) == (206, whole[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    assert beyond.status == 416


def test_the_input_image_is_the_moving_background(simulator):
    image = ("start.png", image_of("1280x720"), "image/png")
    video = simulator.finished(simulator.create("Two colours", size="1280x720", input_reference=image))

    with av.open(io.BytesIO(simulator.get(video, "/content").body)) as file:
        frames = [frame.to_image() for frame in file.decode(video=0)]

    def border(frame: Image.Image) -> int:
        return next(x for x in range(1280) if frame.getpixel((x, 300))[2] > 128)

    red, green, blue = frames[0].getpixel((300, 300))
    assert red > 220
    assert green < 40
    assert blue < 40
    assert abs(border(frames[0]) - 640) < 4
    assert abs(border(frames[-1]) - border(frames[0])) > 8


@pytest.mark.parametrize(
    "text", ["一只猫走过雨夜", "夜の路地を歩く猫。", "서울의 밤하늘 한강", "Ночной поезд", "Łódź — ngõ nhỏ"]
)
def test_text_of_many_scripts_is_drawn_with_letters_not_boxes(text):
    caption = caption_layers(text, (1280, 720))[0].image
    boxes = caption_layers(text[0] * len(text), (1280, 720))[0].image
    empty = caption_layers("\U000f1234", (1280, 720))

    assert len(empty) == 1  # only the mark: what no font can draw is left out
    assert caption.tobytes() != boxes.tobytes()
    assert sum(caption.getchannel("R").histogram()[200:]) > 1000


def test_tags_are_not_shown_in_the_picture():
    assert without_tags("A cat [sim:slow] on a [sim:mark-7] roof") == "A cat on a roof"


def test_identical_pictures_are_painted_once(tmp_path):
    with running(tmp_path) as simulator:
        with ThreadPoolExecutor(8) as pool:
            videos = list(
                pool.map(
                    lambda n: simulator.create(
                        f"{PROMPT} [sim:mark-{n}]", model=("sora-2", "sora-2-pro")[n % 2]
                    ),
                    range(40),
                )
            )
        assert {simulator.finished(video).status for video in videos} == {"completed"}
        assert len(list((tmp_path / "pictures").glob("*.mp4"))) == 1

        other = simulator.finished(simulator.create("Another"))
        simulator.client().videos.delete(other.id)
    with running(tmp_path) as simulator:  # a start clears away what no job needs
        assert len(list((tmp_path / "pictures").iterdir())) == 3
        assert simulator.get(videos[0], "/content").status == 200


@pytest.mark.parametrize(
    ("seconds", "size", "reference", "cpu_seconds"),
    [(4, (1280, 720), "", 3), (4, (1280, 720), "image", 3), (60, (1920, 1080), "image", 6)],
    ids=["scene", "photo", "a minute"],
)
def test_a_video_costs_at_most_a_few_seconds_of_cpu(tmp_path, seconds, size, reference, cpu_seconds):
    (tmp_path / "references").mkdir()
    (tmp_path / "references" / "image").write_bytes(image_of("{}x{}".format(*size)))

    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before = cpu()
    painter = subprocess.Popen(
        [sys.executable, "-m", "simulator.painter", str(tmp_path), str(tmp_path / "references")],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    painter.stdin.write(Picture("A lighthouse in a storm", seconds, *size, reference).as_line)
    painter.stdin.flush()
    assert painter.stdout.readline() == b"painted\n"
    painter.communicate()
    assert cpu() - before < scaled_timeout(cpu_seconds)
