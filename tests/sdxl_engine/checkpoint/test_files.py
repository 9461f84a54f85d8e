"""What may lie in a model folder under a name that the engine opens, and is refused unopened."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sdxl_engine import CheckpointError, SdxlPipeline
from sdxl_engine.checkpoint.checkpoint import Checkpoint
from sdxl_engine.checkpoint.files import MAX_JSON_BYTES, open_file, read_file
from sdxl_engine.checkpoint.safetensors_file import read_header
from sdxl_engine.tokenizer import PromptTokenizer
from tests.sdxl_engine.conftest import GOLDENS

COMMIT = "c0ffee"
VAE = "vae/diffusion_pytorch_model.safetensors"
# One of each kind that is opened in its own way.
OPENED = [
    "model_index.json",
    "preview.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder_2/model.safetensors",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer_2/merges.txt",
    "tokenizer_2/additional_chat_templates/any.jinja",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors.index.json",
    "unet/diffusion_pytorch_model-00002-of-00004.safetensors",
    VAE,
]


def load_error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        SdxlPipeline.load(str(folder))
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def bind(path: Path) -> None:
    """A socket's path is at most 108 bytes long."""
    beside = Path.cwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path.name)
    os.chdir(beside)


def link_out(path: Path) -> None:
    """To a file that would do as well as the one that was there."""
    elsewhere = next(place for place in path.parents if place.name == "model").parent / "elsewhere"
    elsewhere.write_bytes(b"{}")
    path.symlink_to(elsewhere)


@pytest.mark.timeout(20)  # a pipe is waited for
@pytest.mark.parametrize("name", OPENED)
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "it is a pipe, not a file"),
        (bind, "it is a socket, not a file"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "link to /dev/zero, which is not in the model"),
        (
            lambda path: path.symlink_to("/no/where"),
            "link to /no/where, which is not in the model's folder",
        ),
        (link_out, "elsewhere, which is not in the model's folder"),
    ],
    ids=["pipe", "socket", "loop", "device", "nowhere", "link"],
)
def test_only_files_of_the_folder_are_opened(
    folder: Path, name: str, make: Callable[[Path], None], said: str
) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    sentence = load_error(folder)
    assert said in sentence
    assert path.name in sentence


@pytest.mark.parametrize("name", ["unet", "tokenizer"])
def test_a_part_may_not_be_a_link_to_another_models(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
    (folder / name).symlink_to(GOLDENS / "tiny_b" / name)
    assert "which is not in the model's folder" in load_error(folder)


def test_links_within_the_folder_and_to_it_are_followed(folder: Path) -> None:
    for name in (VAE, "unet/config.json", "tokenizer/tokenizer.json"):
        (folder / name).rename(folder / Path(name).name)
        (folder / name).symlink_to(f"../{Path(name).name}")
    link = folder.parent / "current"
    link.symlink_to("model")
    for way in (folder, link):
        found = Checkpoint.find(str(way))
        PromptTokenizer(way, found.config)
        assert len(found.files) == 7


def snapshot(folder: Path, cache: Path) -> Path:
    """The folder as huggingface_hub keeps it: blobs, and links to them."""
    repository = cache / "models--studio--tiny"
    (repository / "blobs").mkdir(parents=True)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file():
            link = repository / "snapshots" / COMMIT / path.relative_to(folder)
            blob = repository / "blobs" / f"{number:040x}"
            shutil.copy(path, blob)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    return repository / "snapshots" / COMMIT


def test_a_snapshot_links_into_its_repositorys_cache_and_no_further(
    folder: Path, tmp_path: Path
) -> None:
    fetched = snapshot(folder, tmp_path / "hub")
    found = Checkpoint.find(str(fetched))
    PromptTokenizer(fetched, found.config)
    assert len(found.files) == 7
    other = tmp_path / "hub" / "models--studio--other" / "blobs" / "0"
    other.parent.mkdir(parents=True)
    shutil.copy(folder / VAE, other)
    (fetched / VAE).unlink()
    (fetched / VAE).symlink_to(other)
    assert f"{VAE} cannot be read: it is a link to {other}" in load_error(fetched)
    other.unlink()  # a blob that was deleted
    (fetched / VAE).unlink()
    (fetched / VAE).symlink_to("../../../blobs/gone")
    assert f"{VAE} cannot be read: No such file or directory" in load_error(fetched)


def test_devices_and_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(OSError, match="not a file"):
            open_file(path)


def test_a_pipe_that_took_a_files_place_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"{}")
    facts = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda *_, **__: facts)  # as it was a moment ago
    with pytest.raises(OSError, match="it is a pipe, not a file"):
        open_file(path)


@pytest.mark.parametrize("name", ["unet/config.json", "tokenizer/tokenizer.json", OPENED[10]])
def test_json_that_is_longer_than_any(folder: Path, name: str) -> None:
    """As long as a disk, and taking no room on it."""
    with (folder / name).open("r+b") as file:
        file.truncate(2**40)
    assert f"longer than {MAX_JSON_BYTES:,} bytes" in load_error(folder)
    (folder / name).write_bytes(b" " * MAX_JSON_BYTES)
    assert len(read_file(folder, folder / name)) == MAX_JSON_BYTES


@pytest.mark.parametrize("half", [False, True])
def test_a_header_that_is_longer_than_any(folder: Path, *, half: bool) -> None:
    length = 99 * 2**20
    name = VAE.replace("model.", "model.fp16.") if half else VAE
    with (folder / name).open("wb") as file:
        file.write(length.to_bytes(8, "little") + b'{"__metadata__": {}}'.ljust(100))
        file.truncate(8 + length)
    with pytest.raises(CheckpointError, match=rf"{name} has a header of 103,809,024 bytes"):
        Checkpoint.find(str(folder), half=half)


def test_a_header_as_a_merge_writes_it_is_read(tmp_path: Path) -> None:
    """With the recipes of all that it was merged from: some megabytes."""
    header = json.dumps({"__metadata__": {"sd_merge_recipe": "x" * 5_000_000}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert read_header(path) == {}


@pytest.mark.parametrize("key", ["fast_tokenizer_files", "gguf_file"])
def test_a_tokenizer_that_names_files_elsewhere(folder: Path, key: str) -> None:
    path = folder / "tokenizer/tokenizer_config.json"
    data = {**json.loads(path.read_bytes()), key: ["../../elsewhere/tokenizer.4.0.json"]}
    path.write_text(json.dumps(data))
    sentence = load_error(folder)
    assert f"tokenizer_config.json names other files, with {key}" in sentence
