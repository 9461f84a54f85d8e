"""Where a model is: nowhere, or on a loopback hub, fetched once and kept."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sdxl_engine import CheckpointError
from sdxl_engine.checkpoint.hub import find_check, find_model
from tests.sdxl_engine.conftest import GOLDENS
from tests.sdxl_engine.hub import LoopbackHub

VAE = "vae/diffusion_pytorch_model.safetensors"
UNET_SHARD = "unet/diffusion_pytorch_model-00002-of-00004.safetensors"


@pytest.mark.parametrize(
    "model",
    [
        "no/such/folder",
        "nothing here",
        "",
        "../x",
        "../x/y",
        "~nosuchuser/x",
        "a" * 5_000,
        "owner/" + "a" * 120,
        "owner/" + "a" * 5_000,
        "owner/a..b",
        "nul\0/x",
    ],
)
def test_a_model_that_is_nowhere(model: str) -> None:
    with pytest.raises(CheckpointError, match="There is no model") as caught:
        find_model(model)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("check", ["no/such/folder", "nothing here", "", "~nosuchuser/x", "a..b/c"])
def test_a_check_that_is_nowhere(check: str) -> None:
    with pytest.raises(CheckpointError, match="There is no picture check"):
        find_check(check)


def test_a_check_is_fetched_once_and_then_kept(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(GOLDENS / "checks" / "classifier", tmp_path / "check"))
    (folder / "pytorch_model.bin").write_bytes(b"not needed")
    with LoopbackHub(folder) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        code = "find_check('studio/tiny')"
        first = run_find_model(code, **environment)
        assert first.returncode == 0, first.stderr
        names = sorted({name for name, _ in hub.downloads})
        assert names == ["config.json", "model.safetensors", "preprocessor_config.json"]
        offline = run_find_model(code, **environment, HF_HUB_OFFLINE="1")
        assert offline.stdout == first.stdout
        (folder / "model.safetensors").unlink()
        pickled = run_find_model("find_check('studio/tiny')", **environment)
        assert "only pickled weights" in pickled.stderr
        (folder / "preprocessor_config.json").unlink()
        other = run_find_model("find_check('studio/tiny')", **environment)
        assert "is no picture check: it has no preprocessor_config.json" in other.stderr


def run_find_model(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: huggingface_hub reads its environment when it is imported."""
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", f"from sdxl_engine.checkpoint.hub import *\nprint({code})"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_a_repository_is_fetched_once_and_then_kept(folder: Path, tmp_path: Path) -> None:
    for name in ("unet/diffusion_pytorch_model.onnx", "vae/diffusion_pytorch_model.bin"):
        (folder / name).write_bytes(b"not needed")
    shutil.copy(folder / VAE, folder / "vae/diffusion_pytorch_model.fp16.safetensors")
    with LoopbackHub(folder) as hub:
        hub.cut_short = {VAE}
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        code = "find_model('studio/tiny', revision='v1')"
        first = run_find_model(code, **environment)
        assert first.returncode == 0, first.stderr
        assert "Fetching" in first.stderr  # the progress bar
        names = [name for name, _ in hub.downloads]
        assert names.count(VAE) == 2  # broken off, then completed
        assert UNET_SHARD in names
        assert not [name for name in names if name.endswith((".onnx", ".bin", "fp16.safetensors"))]
        assert not [name for name in names if name.startswith("goldens")]
        fetched = Path(first.stdout.strip())
        assert (fetched / VAE).read_bytes() == (folder / VAE).read_bytes()
        count = len(hub.downloads)
        again = run_find_model(code, **environment)
        offline = run_find_model(code, **environment, HF_HUB_OFFLINE="1")
        assert again.stdout == offline.stdout == first.stdout
        assert len(hub.downloads) == count
        unknown = run_find_model("find_model('studio/tiny', revision='v9')", **environment)
        assert "has no revision 'v9'" in unknown.stderr
        gated = run_find_model("find_model('studio/gated')", **environment)
        assert "studio/gated asks for its licence to be accepted first" in gated.stderr
        nobody = run_find_model("find_model('studio/none')", **environment)
        assert "There is no repository studio/none" in nobody.stderr
    never = run_find_model("find_model('studio/new')", **environment, HF_HUB_OFFLINE="1")
    assert "not in the local cache" in never.stderr


def refiner(folder: Path) -> None:
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(folder / part)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionXLImg2ImgPipeline"
    index["text_encoder"] = [None, None]
    (folder / "model_index.json").write_text(json.dumps(index))


def without_encoder(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder")


def weights_alone(folder: Path) -> None:
    """As ByteDance/SDXL-Lightning is: a UNet for another model."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    (folder / "sdxl_lightning_4step_unet.safetensors").write_bytes(b"")


def wider(folder: Path) -> None:
    path = folder / "unet/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 16}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (refiner, "text_encoder is [null, null]: the model is SDXL's refiner"),
        (without_encoder, "studio/tiny is not a whole model in diffusers format: it has no text_"),
        (weights_alone, "it has no model_index.json"),
        (wider, "unet/config.json: in_channels is 16"),
    ],
)
def test_a_repository_of_another_kind_is_refused_before_its_weights_are_fetched(
    folder: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    change(folder)
    with LoopbackHub(folder) as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}
        refused = run_find_model("find_model('studio/tiny')", **environment)
        assert said in refused.stderr
        assert "CheckpointError" in refused.stderr
        assert not [name for name, _ in hub.downloads if name.endswith(".safetensors")]
