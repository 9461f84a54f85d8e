"""`imagine check`: which marks it finds, in words and for programs."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from bot.cli.main import main
from sdxl_engine.images import describe, encode_png
from sdxl_engine.marks.credentials import Credentials
from sdxl_engine.marks.marks import NO_MARKS, Marks
from sdxl_engine.marks.watermark import Watermark
from sdxl_engine.marks.xmp import SOURCES
from sdxl_engine.request import GeneratedImage, ImageRequest
from tests.sdxl_engine.marks.attacks import drawing, saved
from tests.sdxl_engine.marks.authority import elliptic, write_chain, write_key

Capture = pytest.CaptureFixture[str]

SIDE_PX = 128
IMAGE = GeneratedImage(0, 7, SIDE_PX, SIDE_PX, drawing(1, SIDE_PX).tobytes())
PARAMETERS = describe(ImageRequest("a cat", seed=7), model="doodle")


def written(name: str, data: bytes) -> str:
    Path(name).write_bytes(data)
    return name


def plain() -> str:
    file = io.BytesIO()
    drawing(1, SIDE_PX).save(file, "PNG")
    return written("plain.png", file.getvalue())


def all_marks() -> Marks:
    key = elliptic()
    chain, file = write_chain(Path("chain.pem"), key), write_key(Path("key.pem"), key)
    return Marks(Watermark(), xmp=True, credentials=Credentials(chain, file))


def test_a_picture_of_ours_bears_all(capsys: Capture) -> None:
    assert main(["check", written("a.png", encode_png(IMAGE, PARAMETERS, all_marks()))]) == 0
    name, xmp, c2pa, watermark, recipe = capsys.readouterr().out.splitlines()
    assert name == "a.png"
    assert xmp.endswith("says that a trained model made the picture (trainedAlgorithmicMedia)")
    assert "signed by A studio of Studios, unchanged since" in c2pa
    assert "found (score" in watermark
    assert watermark.endswith("at 100% of the size that was marked")
    assert recipe.endswith("says that imagine drew it; `imagine recipe` shows how")


def test_a_picture_without_any_is_no_proof_of_anything(capsys: Capture) -> None:
    assert main(["check", plain()]) == 1
    assert capsys.readouterr().out.count("none") == 4


@pytest.mark.parametrize(
    ("marks", "parameters"),
    [
        (Marks(xmp=True), ""),
        (Marks(Watermark()), ""),
        (NO_MARKS, PARAMETERS),
    ],
)
def test_one_of_them_is_enough(marks: Marks, parameters: str) -> None:
    assert main(["check", plain(), written("a.png", encode_png(IMAGE, parameters, marks))]) == 0


def test_what_a_chat_leaves_is_the_watermark(capsys: Capture) -> None:
    marked = Watermark().on(drawing(1, SIDE_PX))
    saved(marked, "JPEG", 75).save("chat.png")
    assert main(["check", "--json", "chat.png"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert found["marked"]
    assert found["watermark"]["found"]
    assert found["watermark"]["scale"] == 1
    assert found["c2pa"] is found["recipe"] is found["xmp"]["source"] is None


def test_a_changed_picture_is_not_believed(capsys: Capture) -> None:
    marks = Marks(credentials=all_marks().credentials)
    data = bytearray(encode_png(IMAGE, "", marks))
    data[data.index(b"IEND") - 6] ^= 1  # the end of the pixels' checksum, which Pillow forgives
    assert main(["check", written("a.png", bytes(data))]) == 1
    assert "not to be believed: the picture was changed after" in capsys.readouterr().out


def test_what_says_it_is_a_photograph_is_not_marked(capsys: Capture) -> None:
    file = io.BytesIO()
    xmp = f'<x a:DigitalSourceType="{SOURCES}digitalCapture"/>'
    drawing(1, SIDE_PX).save(file, "JPEG", xmp=xmp.encode())
    assert main(["check", written("a.jpg", file.getvalue())]) == 1
    assert "something else: digitalCapture" in capsys.readouterr().out


def test_a_key_of_ones_own_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("a.png", encode_png(IMAGE, "", Marks(Watermark("ours"))))
    assert main(["check", path]) == 1
    monkeypatch.setenv("IMAGINE_MARKS__WATERMARK_KEY", "ours")
    assert main(["check", path]) == 0


def test_what_is_no_picture_is_said(capsys: Capture) -> None:
    assert main(["check", written("a.txt", b"no picture")]) == 1
    out = capsys.readouterr().out
    assert out.count("could not be read") == 2
    assert "could not be looked for: The file is no picture" in out


def test_what_is_no_file_is_a_mistake(capsys: Capture) -> None:
    assert main(["check", "nowhere.png"]) == 2
    assert "nowhere.png cannot be read" in capsys.readouterr().err
    assert Image.MAX_IMAGE_PIXELS is not None  # nothing was decoded in this process
