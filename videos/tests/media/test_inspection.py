"""Downloaded files: real videos are measured, everything else is refused."""

import hashlib
import io
import random
import struct

import av
import pytest
from PIL import Image, ImageStat

from videos.media import inspection


def gradient(_index: int) -> Image.Image:
    return Image.linear_gradient("L").resize((320, 240)).convert("RGB")


def render(
    path, *, codec="libx264", size=(320, 240), pictures=True, sound=True, draw=gradient, **muxer
) -> bytes:
    """Two seconds at 25 frames a second, written to the path and returned."""
    with av.open(path, "w", format="mp4", options=muxer) as out:
        video = out.add_stream(codec, rate=25) if pictures else None
        audio = out.add_stream("aac", rate=48_000, layout="stereo") if sound else None

        if video:
            video.width, video.height, video.pix_fmt = *size, "yuv420p"
            for index in range(50):
                out.mux(video.encode(av.VideoFrame.from_image(draw(index).resize(size))))
            out.mux(video.encode())

        if audio:
            for index in range(2 * 48_000 // 1024):
                silence = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
                for plane in silence.planes:
                    plane.update(bytes(plane.buffer_size))
                silence.sample_rate, silence.pts = 48_000, index * 1024
                out.mux(audio.encode(silence))
            out.mux(audio.encode())

    return path.read_bytes()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A real video, as bytes: ftyp, free, mdat and, last, moov."""
    return render(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "download.part"


def box_at(data: bytes, kind: bytes) -> int:
    return data.index(kind) - 4


def refusal(path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(inspection.NotAVideo) as refused:
        inspection.look(path)[0]
    return str(refused.value)


def test_a_real_video_is_measured(path, clip):
    path.write_bytes(clip)

    assert inspection.look(path)[0] == inspection.Probe(
        width=320,
        height=240,
        seconds=2.0,
        has_sound=True,
        size=len(clip),
        sha256=hashlib.sha256(clip).hexdigest(),
    )


def test_a_silent_video_has_no_sound(path):
    render(path, sound=False)

    assert inspection.look(path)[0].has_sound is False


@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
def test_other_orders_of_boxes_are_taken(path, movflags):
    render(path, movflags=movflags)

    assert inspection.look(path)[0].seconds == pytest.approx(2, abs=0.1)


def test_a_last_box_up_to_the_end_and_a_box_of_64_bits_are_taken(path, clip):
    moov = box_at(clip, b"moov")
    wide = struct.pack(">I4sQ", 1, b"free", 16)
    path.write_bytes(clip[:moov] + wide + bytes(4) + clip[moov + 4 :])

    assert inspection.look(path)[0].size == len(clip) + 16


def test_a_title_in_another_encoding_does_no_harm(path, clip):
    path.write_bytes(clip.replace(b"VideoHandler", b"Vid\xe9oHandler"))

    assert inspection.look(path)[0].width == 320


@pytest.mark.parametrize(
    ("fake", "reason"),
    [
        pytest.param(b"<!doctype html><title>Sign in</title>", "it is no MP4", id="html"),
        pytest.param(b'{"error": {"message": "expired"}}', "it is no MP4", id="json"),
        pytest.param(b"", "it has no moov", id="empty"),
        pytest.param(b"RIFF\x40\0\0\0AVI LIST" + bytes(99), "it is no MP4", id="avi"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(99), "it is no MP4", id="png"),
        pytest.param(random.Random(1).randbytes(5_000), "it is no MP4", id="random"),
        pytest.param(b"\0\0\0\x18ftypisom" + b"garbage!" * 99, "its boxes end", id="ftyp-and-garbage"),
        pytest.param(b"\0\0\0\x10ftypisom\0\0\0\0", "it has no moov", id="ftyp-only"),
        pytest.param(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x07moov", "a box at byte 16", id="box-of-7-bytes"),
        pytest.param(b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov", "it has no pictures", id="empty-moov"),
        pytest.param(b"\0\0\0\x08ftyp" * 20_000, "its boxes end", id="20000-boxes"),
    ],
)
def test_A23_what_is_not_an_mp4_is_refused(path, fake, reason):
    assert refusal(path, fake).startswith(reason)


@pytest.mark.parametrize("share", [0.005, 0.1, 0.25, 0.5, 0.9, 0.999])
def test_A23_a_truncated_video_is_refused(path, clip, share):
    assert "box" in refusal(path, clip[: int(len(clip) * share)])


def test_A23_a_video_with_a_zip_behind_it_is_refused(path, clip):
    assert refusal(path, clip + b"PK\x03\x04" + bytes(99)).startswith("its boxes end at byte")


def test_A23_a_video_that_lost_its_index_is_refused(path, clip):
    moov = box_at(clip, b"moov")

    assert refusal(path, clip[:moov]) == "it has no moov box"
    assert refusal(path, clip.replace(b"moov", b"free")) == "it has no moov box"


def test_A23_a_video_that_lost_its_pictures_is_refused(path, clip):
    start, end = box_at(clip, b"mdat") + 8, box_at(clip, b"moov")

    assert refusal(path, clip[:start] + bytes(end - start) + clip[end:])


def test_A23_sound_alone_is_refused(path):
    assert refusal(path, render(path, pictures=False)) == "it has no pictures"


def test_A23_a_codec_that_browsers_do_not_play_is_refused(path):
    assert refusal(path, render(path, codec="mpeg4")) == "its codec is mpeg4"


def test_A23_a_codec_that_nobody_knows_is_refused(path, clip):
    assert refusal(path, clip.replace(b"avc1\0", b"zzzz\0")) == "its codec is unknown"


def test_A23_an_absurd_size_is_refused(path):
    assert refusal(path, render(path, size=(4098, 64))) == "it measures 4098x64"


def test_A23_any_damage_is_refused_or_harmless_and_never_another_error(path, clip):
    chance = random.Random(23)
    for _ in range(100):
        damaged = bytearray(clip)
        for _ in range(chance.choice([1, 4, 16])):
            at = chance.randrange(len(clip))
            damaged[at : at + 4] = chance.choice([bytes(4), b"\xff" * 4, chance.randbytes(4)])
        path.write_bytes(damaged[: len(clip)])

        try:
            inspection.look(path)[0]
            inspection.look(path)[1]
        except inspection.NotAVideo:
            pass


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {secret}\n",
        "\0\0\0\x10ftypisom\0\0\0\0#EXTM3U\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
    ],
)
def test_A24_a_playlist_opens_nothing(path, tmp_path, clip, playlist):
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip)

    assert refusal(path, playlist.format(secret=secret.as_uri()).encode())
    with pytest.raises(inspection.NotAVideo):
        inspection.look(path)[1]


def opened(poster: bytes) -> Image.Image:
    return Image.open(io.BytesIO(poster))


def test_a_poster_is_a_webp_of_at_most_640_pixels(path):
    render(path, size=(1280, 720))

    poster = opened(inspection.look(path)[1])

    assert (poster.format, poster.size) == ("WEBP", (640, 360))


def test_a_poster_is_not_enlarged(path, clip):
    path.write_bytes(clip)

    assert opened(inspection.look(path)[1]).size == (320, 240)


def test_a_poster_shows_the_frame_a_quarter_in(path):
    def red_between(index):
        image = gradient(index)
        image.paste("red" if 10 <= index <= 14 else "blue", (0, 0, 160, 240))
        return image

    render(path, draw=red_between)

    red, _green, blue = opened(inspection.look(path)[1]).convert("RGB").getpixel((80, 120))
    assert red > 200 > 50 > blue


def test_a_poster_passes_over_black(path):
    render(path, draw=lambda index: gradient(index) if index > 35 else Image.new("RGB", (320, 240)))

    assert ImageStat.Stat(opened(inspection.look(path)[1]).convert("L")).stddev[0] > 50


def test_a_video_that_is_black_throughout_still_has_a_poster(path):
    render(path, draw=lambda index: Image.new("RGB", (320, 240)))

    assert opened(inspection.look(path)[1]).size == (320, 240)
