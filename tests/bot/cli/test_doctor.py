"""`imagine doctor`: each finding is true, and nothing is left behind."""

import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from bot.cli.doctor import (
    Device,
    examine_checks,
    examine_filter,
    examine_marks,
    examine_model,
    examine_pictures,
    examine_ports,
    examine_styles,
)
from bot.cli.finding import Finding
from bot.cli.main import main
from bot.config.sections import (
    Config,
    EngineConfig,
    FilterConfig,
    HealthConfig,
    MarksConfig,
    PlaygroundConfig,
    StorageConfig,
    StylesConfig,
)
from sdxl_engine.models.layers import GPU
from tests.bot.cli.conftest import ENVIRONMENT
from tests.bot.conftest import GOLDENS, asks_for
from tests.sdxl_engine.marks.authority import DAY, elliptic, write_chain, write_key

Capture = pytest.CaptureFixture[str]


def test_as_json_it_is_one_object(capsys: Capture) -> None:
    assert main(["doctor", "--json"]) == 0
    assert not list(Path().iterdir())  # a check leaves nothing behind
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    assert any("Model doodle" in finding["what"] for finding in report["findings"])


def test_it_finds_what_is_wrong(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").touch()
    monkeypatch.setenv("IMAGINE_STORAGE__FOLDER", "file")
    monkeypatch.setenv("IMAGINE_ENGINE__MODEL", "no-such-model")
    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL  The storage folder file cannot be written" in out
    assert "FAIL  There is no model 'no-such-model'" in out
    assert "warn  DISCORD_TOKEN does not look like a bot token" in out
    assert "secret" not in out


def test_another_folder_of_pictures_is_looked_at(tmp_path: Path) -> None:
    assert not list(examine_pictures(StorageConfig()))
    storage = StorageConfig(folder=tmp_path / "data", pictures=tmp_path / "shared")
    (found,) = examine_pictures(storage)
    assert found == Finding("ok", f"The folder of pictures {tmp_path / 'shared'} can be written.")
    assert not (tmp_path / "shared").exists()  # a check leaves nothing behind
    (tmp_path / "shared").touch()
    (tmp_path / "data/images/job").mkdir(parents=True)
    found, left = examine_pictures(storage)
    assert found.level == "FAIL"
    assert "Set [storage] pictures" in found.mend
    assert left.level == "warn"
    assert "nobody looks any more" in left.what


@pytest.mark.scale
def test_a_bucket_of_pictures_is_looked_at(tmp_path: Path, address: str) -> None:
    import boto3  # noqa: PLC0415 - not every machine has it

    storage = StorageConfig(folder=tmp_path, pictures=address)
    (found,) = examine_pictures(storage)
    assert found == Finding("ok", f"In {address} pictures can be kept, listed and deleted.")
    boto3.client("s3").put_bucket_versioning(
        Bucket=address.split("/")[2], VersioningConfiguration={"Status": "Enabled"}
    )
    found, versions = examine_pictures(storage)
    assert found.level == "ok"
    assert versions.level == "warn"
    (found,) = examine_pictures(replace(storage, pictures="s3://nobodys-bucket"))
    assert found.level == "FAIL"
    assert "Make the bucket" in found.what


def test_a_bucket_that_nothing_here_speaks_with_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    (found,) = examine_pictures(StorageConfig(folder=tmp_path, pictures="s3://bucket"))
    assert found.level == "FAIL"
    assert "make setup-scale" in found.what


def test_a_broken_configuration_is_a_finding(capsys: Capture) -> None:
    Path("config.toml").write_text("[engine]\nmodl = 1\n")
    assert main(["doctor"]) == 1
    assert "FAIL  config.toml has a key 'modl'" in capsys.readouterr().out


def test_styles_are_read(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[ink]\nsteps = 80")
    assert examine_styles(StylesConfig()).what == "17 styles to draw prompts in."
    found = examine_styles(StylesConfig(file=tmp_path / "own.toml"))
    assert found.level == "FAIL"
    assert "own.toml, style ink: steps must be" in found.what


def test_the_filters_lists_are_read(tmp_path: Path) -> None:
    found = examine_filter(FilterConfig())
    assert re.fullmatch(
        r"[1-9][\d,]* terms and [1-9][\d,]* exceptions in the prompt filter: starter list\.",
        found.what,
    )
    assert examine_filter(FilterConfig(starter=False)).level == "warn"
    (tmp_path / "own.toml").write_text("[gore]\nterm = 1")
    found = examine_filter(FilterConfig(file=tmp_path / "own.toml"))
    assert found.level == "FAIL"
    assert "own.toml" in found.what


def test_what_no_request_could_ask_for_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("steps = 80")
    (tmp_path / "mine.safetensors").touch()
    path = str(tmp_path / "mine")
    for models in ((f"{path}.safetensors",), ("doodle", "other/doodle")):
        first = next(examine_model(Config(engine=EngineConfig(models=models)), ENVIRONMENT))
        assert first.level == "FAIL"
        assert f"{path}.toml: " in first.what or "between doodle and other/doodle" in first.what


@pytest.mark.parametrize(
    ("model", "level", "sentence"),
    [
        ("./x.safetensors", "FAIL", "There is no file './x.safetensors'"),
        ("models/x.safetensors", "FAIL", "There is no file 'models/x.safetensors'"),
        ("here/weights", "FAIL", "here/weights is empty. Fetch it again."),
        ("here/folder", "FAIL", "model_index.json is missing in here/folder"),
        ("./models/mine", "FAIL", "There is no model './models/mine'"),
        ("../mine", "FAIL", "There is no model '../mine'"),
        ("a/b/c", "FAIL", "There is no model 'a/b/c'"),
        ("x" * 4096, "FAIL", "There is no model 'xxx"),
        ("somebody/painting", "warn", "no folder here, so it will be fetched"),
    ],
)
def test_a_path_is_never_taken_for_a_repository(
    model: str, level: str, sentence: str, tmp_path: Path
) -> None:
    Path("here").mkdir()
    Path("here/weights").touch()
    Path("here/folder").mkdir()
    config = Config(engine=EngineConfig(model=model))
    environ = {**ENVIRONMENT, "HF_HUB_CACHE": str(tmp_path / "cache")}
    (finding,) = examine_model(config, environ)
    assert finding.level == level
    assert sentence in f"{finding.what} {finding.mend}"


def test_what_looks_at_pictures_is_told(tmp_path: Path) -> None:
    environ = {**ENVIRONMENT, "HF_HUB_CACHE": str(tmp_path / "cache")}
    engine = EngineConfig(models=("doodle", "owner/name"))
    own, published = examine_checks(engine, environ)
    assert own.level == "ok"
    assert own.what.startswith("Picture check doodle: 646 KB, tells")
    assert published.level == "warn"
    assert "CompVis/stable-diffusion-safety-checker is not in the local cache" in published.what
    (nobody,) = examine_checks(replace(engine, picture_check="none"), environ)
    assert nobody.level == "warn"
    assert nobody.what.startswith("Nobody looks at pictures")
    (damaged,) = examine_checks(replace(engine, picture_check=str(tmp_path)), environ)
    assert damaged.level == "FAIL"
    assert "config.json is missing" in damaged.what


def pipe(folder: Path) -> None:
    (folder / "tokenizer/tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer/tokenizer.json")


def long_header(folder: Path) -> None:
    with (folder / "vae/diffusion_pytorch_model.safetensors").open("wb") as file:
        file.write((99 * 2**20).to_bytes(8, "little"))
        file.truncate(100 * 2**20)


def pointer(folder: Path) -> None:
    (folder / "vae/diffusion_pytorch_model.safetensors").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 334643268\n"
    )


def no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer_2")


def another_tensor(folder: Path) -> None:
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    save_file({**load_file(path), "surprise": np.zeros(1, np.float32)}, path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (pipe, "it is a pipe, not a file"),
        (long_header, "has a header of 103,809,024 bytes"),
        (pointer, "is a pointer of Git LFS"),
        (no_tokenizer, "tokenizer_2/ is missing"),
        (another_tensor, "unexpected: surprise"),
    ],
)
def test_it_says_of_a_model_what_loading_would(
    damage: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(GOLDENS / "tiny_b", tmp_path / "model"))
    damage(folder)
    config = Config(engine=EngineConfig(model=str(folder)))
    (finding,) = examine_model(config, ENVIRONMENT)
    assert finding.level == "FAIL"
    assert said in finding.what


# Over 2 s of CPU, as those above: a process looks.
def test_a_model_that_needs_a_picture_cannot_stand_alone() -> None:
    ignore = shutil.ignore_patterns("unet", "golden*")
    folder = Path(shutil.copytree(GOLDENS / "tiny_a", "inpainting", ignore=ignore))
    shutil.copytree(GOLDENS / "variants" / "inpainting" / "unet", folder / "unet")
    _, finding, *_ = examine_model(Config(engine=EngineConfig(model=str(folder))), ENVIRONMENT)
    assert finding.level == "FAIL"
    assert finding.what == "Model inpainting was trained for inpainting."


# Over 2 s of CPU: each model is looked at by a process of its own.
def test_of_several_models_it_says_each_thing_once() -> None:
    shelf = Path("loras")
    shelf.mkdir()
    (shelf / "page.safetensors").write_text("<!doctype html>")
    flow = Path(shutil.copytree(GOLDENS / "tiny_a", "flow"))
    index = flow / "model_index.json"
    index.write_text(index.read_text().replace("EulerDiscrete", "FlowMatchEulerDiscrete"))
    models = (str(GOLDENS / "tiny_a"), str(GOLDENS / "tiny_b"), str(flow))
    config = Config(engine=EngineConfig(models=models, loras=shelf))
    model, page, other, failure, *_ = examine_model(config, ENVIRONMENT)
    assert model.what.startswith(f"Model {models[0]}: ")
    assert page == Finding(
        "warn", f"{shelf / 'page.safetensors'} is a web page, not the file itself. Fetch it again."
    )
    assert other.what.startswith(f"Model {models[1]}: ")
    assert failure.level == "FAIL"
    assert failure.what.startswith("Model flow: model_index.json: ")


def test_it_tells_what_is_drawn_in_another_way(tmp_path: Path) -> None:
    """Takes as long as one of those above: a process looks, with all that the engine imports."""
    folder = Path(shutil.copytree(GOLDENS / "tiny_b", tmp_path / "model"))
    asks_for(folder, "SASolver")
    found = list(examine_model(Config(engine=EngineConfig(model=str(folder))), ENVIRONMENT))
    assert [finding.level for finding in found] == ["ok", "warn", "ok"]
    assert f"Model {folder}: scheduler/scheduler_config.json asks for SASolver" in found[1].what


def said_of(*, playground: int, health: int) -> list[str]:
    config = Config(playground=PlaygroundConfig(playground), health=HealthConfig(health))
    return [f"{finding.level}: {finding.what} {finding.mend}" for finding in examine_ports(config)]


def test_both_ports_are_tried() -> None:
    assert said_of(playground=0, health=0) == [
        "ok: The playground's port is 0: any. ",
        "ok: The port of /livez, /readyz and /metrics is 0: none. ",
    ]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, health = said_of(playground=0, health=port)
        playground, _ = said_of(playground=port, health=0)
    assert health.startswith(
        f"warn: The port of /livez, /readyz and /metrics, {port}, cannot be used (Address already"
    )
    assert "set [health] port to another" in health
    assert playground.startswith(f"warn: The playground's port, {port}, cannot be used (Address")
    assert "set [playground] port to another" in playground
    assert said_of(playground=port, health=0)[0] == f"ok: The playground's port, {port}, is free. "


def test_equal_ports_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    both, playground, health = said_of(playground=port, health=port)
    assert both.startswith(f"warn: [playground] port and [health] port are both {port}")
    assert playground.startswith("ok: The playground's port")
    assert health.startswith("ok: The port of /livez")


def test_a_tpu_that_nobody_knows_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--tpu", "v99:2x2"]) == 2
    assert "imagine: There is no TPU 'v99:2x2'." in capfd.readouterr().err


def test_a_gpu_that_nobody_knows_is_a_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--gpu", "voodoo2", "--images", "1"]) == 2
    assert "imagine: There is no GPU 'voodoo2' here." in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "64x64"], "--size belongs to chips that are not here: name them with --tpu"),
        (["--images", "0"], "--images belongs to chips"),
        (["--quantise", "int8", "--json"], "--quantise belongs to chips"),
        (["--tpu", "v99:2x2", "--gpu", "voodoo2"], "--gpu: not allowed with argument --tpu."),
    ],
)
def test_what_only_a_forecast_is_told_is_not_passed_over(
    words: list[str], sentence: str, capsys: Capture
) -> None:
    assert main(["doctor", *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"imagine: {sentence}")
    assert not said.out


def test_it_says_what_pictures_are_marked_with(tmp_path: Path) -> None:
    usual = list(examine_marks(MarksConfig()))
    assert [one.level for one in usual] == ["ok", "ok", "ok"]
    off = list(examine_marks(MarksConfig(xmp=False, watermark=False)))
    assert [one.level for one in off] == ["warn", "warn", "ok"]
    assert all("lawyer" in one.mend for one in off[:2])
    key = elliptic()
    chain, file = tmp_path / "chain", write_key(tmp_path / "key", key)
    for days, level, what in (
        (90, "ok", "A studio"),
        (9, "warn", "until"),
        (-1, "FAIL", "expired"),
    ):
        write_chain(chain, key, starts=-9 * DAY, ends=days * DAY)
        *_, signed = examine_marks(MarksConfig(certificate=chain, private_key=file))
        assert signed.level == level
        assert what in signed.what
        assert ("does not start again" in signed.mend) == (level == "warn")


def test_what_a_device_has_room_for_is_told() -> None:
    device = Device(1, "NVIDIA Some", "gpu", [], 8 * 10**9, asdict(GPU))
    ample = list(examine_model(Config(), ENVIRONMENT, device))
    assert any("of each device: all weights stay, 4 images at once." in one.what for one in ample)
    config = Config(engine=EngineConfig(memory=10**6))
    (short,) = (one for one in examine_model(config, ENVIRONMENT, device) if one.level == "warn")
    assert "come when they are needed, image by image, decoded in tiles." in short.what
    assert "offer smaller sizes" in short.mend
