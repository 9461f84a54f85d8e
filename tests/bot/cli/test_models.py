"""`imagine models`: what each file is, in a line, and what is wrong with it below."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bot.cli.main import main
from tests.bot.conftest import GOLDENS, asks_for

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def models() -> Path:
    """Three files, one of them a folder further in; and two that are none of a model."""
    folder = Path("models")
    (folder / "more").mkdir(parents=True)
    lora = {"lora_unet_a.lora_down.weight": np.zeros((4, 8), np.float16)}
    save_file(lora, folder / "style.safetensors", {"modelspec.license": "CC0"})
    (folder / "style.toml").write_text('trigger_words = ["grain", "dust"]')
    (folder / "more/old.ckpt").write_bytes(b"\x80\2}q\0")
    (folder / "cut.safetensors").write_bytes(b"\x40\0\0\0\0\0\0\0{")
    (folder / "notes.txt").touch()
    (folder / ".hidden").mkdir()
    (folder / ".hidden/x.safetensors").touch()
    return folder


def test_a_line_a_file(models: Path, capsys: Capture) -> None:
    assert main(["models", "models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line[0] != " "] == [
        "NAME",
        "models/cut.safetensors",
        "models/style.safetensors",
        "models/more/old.ckpt",
    ]
    assert lines[0].index("KIND") == lines[1].index("damaged")
    assert "LoRA" in lines[3]
    assert lines[3].endswith("CC0")
    assert lines[4] == "    trigger words: grain, dust"
    assert "is a pickle, which can run code" in lines[-1]


def test_below_it_is_told_what_is_drawn_in_another_way(capsys: Capture) -> None:
    shutil.copytree(GOLDENS / "tiny_b", "mine")
    asks_for(Path("mine"), "SASolver")
    assert main(["models"]) == 0
    *_, line, told = capsys.readouterr().out.splitlines()
    assert line.startswith("mine ")
    assert told.startswith("    scheduler/scheduler_config.json asks for SASolverScheduler, which")


def test_as_json(models: Path, capsys: Capture) -> None:
    assert main(["models", "models", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [entry["kind"] for entry in report["models"]] == ["damaged", "LoRA", "pickle"]
    assert report["more"] is False


def test_a_file_is_listed_alone(models: Path, capsys: Capture) -> None:
    assert main(["models", "models/style.safetensors"]) == 0
    _, line, words = capsys.readouterr().out.splitlines()
    assert line.startswith("models/style.safetensors  LoRA")
    assert words == "    trigger words: grain, dust"


def test_linked_folders_are_looked_through_once(models: Path, capsys: Capture) -> None:
    (models / "again").symlink_to("more")
    (models / "more/up").symlink_to("..")
    Path("shelf").mkdir()
    Path("shelf/linked").symlink_to("../models")
    assert main(["models", "shelf", "--json"]) == 0
    names = [Path(each["path"]).name for each in json.loads(capsys.readouterr().out)["models"]]
    assert names == ["cut.safetensors", "style.safetensors", "old.ckpt"]


def test_nothing_and_nowhere(capsys: Capture) -> None:
    assert main(["models"]) == 0
    assert capsys.readouterr().out == "There are no models here.\n"
    assert main(["models", "nowhere"]) == 2
    assert "There is no folder or file" in capsys.readouterr().err
