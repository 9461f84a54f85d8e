"""The picture check: it sees what PyTorch sees, and where it cannot see nothing is shown."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import pytest
from flax import nnx
from hypothesis import given, strategies
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from judged import single_scenes
from PIL import Image
from safetensors.numpy import load_file, save_file
from world import SUBJECTS, draw_scene

from sdxl_engine import (
    CheckpointError,
    EngineThread,
    ImageRequest,
    PictureCheckError,
    Progress,
    SdxlPipeline,
)
from sdxl_engine.checkpoint.hub import published_check
from sdxl_engine.checkpoint.load import load_weights
from sdxl_engine.checkpoint.vision import FILTERS, Axis, VisionFolder
from sdxl_engine.models.layers import PLAIN, Target
from sdxl_engine.models.vision import THRESHOLD, SafetyChecker
from sdxl_engine.picture_check import PictureCheck, network_of, read_check
from sdxl_engine.picture_worker import digest_of
from sdxl_engine.programs import looking
from sdxl_engine.programs.arithmetic import IMAGES
from sdxl_engine.programs.compiler import make_mesh
from sdxl_engine.request import ALPHA, Picture, Source
from tests.sdxl_engine.conftest import GOLDENS, CompileCounter, assert_within, drawn

CHECKS = GOLDENS / "checks"
KINDS = ("safety_checker", "classifier")
SIZES = ("wide", "tall", "small")
ORACLE = load_file(CHECKS / "goldens.safetensors")
REQUEST = ImageRequest(
    "a red circle", width_px=64, height_px=64, num_images=2, num_inference_steps=3
)
WAIT_S = 60

U8 = npt.NDArray[np.uint8]


def loaded(kind: str) -> PictureCheck:
    return PictureCheck.load(str(CHECKS / kind), devices=jax.devices()[:1])


def placed(check: PictureCheck, pixels: U8, num_devices: int = 1) -> jax.Array:
    """Pictures where a model would have drawn them, and the check warm for them."""
    count, height, width, _ = pixels.shape
    mesh = make_mesh(jax.devices()[:num_devices], count)
    check.warm_up(width, height, count, mesh)
    array: jax.Array = jax.device_put(pixels, NamedSharding(mesh, P(IMAGES)))
    return array


@pytest.fixture(scope="module", params=KINDS)
def check(request: pytest.FixtureRequest) -> PictureCheck:
    return loaded(request.param)


@pytest.fixture(scope="module")
def pipeline() -> SdxlPipeline:
    """tiny_a with a check, warm for two images."""
    own = loaded("safety_checker")
    folder = str(GOLDENS / "tiny_a")
    pipeline = SdxlPipeline.load(folder, devices=jax.devices()[:1], picture_check=own)
    pipeline.warm_up([(64, 64)], num_images=2)
    return pipeline


# What it sees


@pytest.mark.parametrize("target", [PLAIN, Target(stacked=True)], ids=["plain", "stacked"])
@pytest.mark.parametrize("size", SIZES)
def test_the_cosines_are_diffusers(size: str, target: Target) -> None:
    folder, part = read_check(str(CHECKS / "safety_checker"))
    network = network_of(folder, target)
    weights = load_weights(part, network, dtype=np.float32, place=jax.numpy.asarray)
    pixels = ORACLE[f"safety_checker.{size}.pixels"].transpose(0, 2, 3, 1)

    checker = nnx.merge(nnx.graphdef(network), weights)
    assert isinstance(checker, SafetyChecker)
    with jax.default_matmul_precision("highest"):
        found = checker.cosines(jax.numpy.asarray(pixels))
    for own, name in zip(found, ("cosines", "special"), strict=True):
        np.testing.assert_allclose(own, ORACLE[f"safety_checker.{size}.{name}"], atol=1e-5)


def margins(size: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """How far PyTorch finds pictures beyond the nearest threshold: of the concepts, the special."""
    thresholds = load_file(CHECKS / "safety_checker" / "model.safetensors")
    concepts = ORACLE[f"safety_checker.{size}.cosines"] - thresholds["concept_embeds_weights"]
    special = ORACLE[f"safety_checker.{size}.special"] - thresholds["special_care_embeds_weights"]
    return concepts.max(axis=1), special.max(axis=1)


@pytest.mark.parametrize("size", SIZES)
def test_the_verdict_at_the_published_threshold_is_diffusers(size: str) -> None:
    checker, pixels = loaded("safety_checker"), ORACLE[f"pictures.{size}"]
    concepts, special = margins(size)
    adjusted = concepts + np.where(special > 0, 0.01, 0)
    oracle = (THRESHOLD + np.stack([adjusted, special], axis=1)).clip(0, 1)
    for own in (placed(checker, pixels), pixels):
        scores = np.array([list(one.values()) for one in checker.look(own)()])
        np.testing.assert_allclose(scores, oracle, atol=1e-5)
        assert list(scores[:, 0] > THRESHOLD) == list(ORACLE[f"safety_checker.{size}.found"])


def test_the_goldens_have_pictures_of_each_kind() -> None:
    """Else a rule could be left out unseen."""
    concepts, special = (np.concatenate(each) for each in zip(*map(margins, SIZES), strict=True))
    assert {bool(one) for one in concepts > 0} == {True, False}
    assert {bool(one) for one in special > 0} == {True, False}


@pytest.mark.parametrize("size", SIZES)
def test_a_classifier_is_transformers(size: str) -> None:
    classifier, pixels = loaded("classifier"), ORACLE[f"pictures.{size}"]
    assert classifier.categories == ("normal", "nsfw", "drawings")
    for own in (placed(classifier, pixels), pixels):
        scores = np.array([list(one.values()) for one in classifier.look(own)()])
        assert_within(
            scores, ORACLE[f"classifier.{size}.scores"], tolerance("classifier", size, 1e-3)
        )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_made_ready_as_transformers_does(kind: str, size: str) -> None:
    check, pixels = loaded(kind), ORACLE[f"pictures.{size}"]
    device = np.asarray(placed_and_fitted(check, pixels))
    np.testing.assert_array_equal(device, [check._fitted(picture) for picture in pixels])
    processing = VisionFolder.read(CHECKS / kind).processing
    ready = np.asarray(looking.normalised(processing, device)).transpose(0, 3, 1, 2)
    level = 1.01 * processing.scale / min(processing.std)
    np.testing.assert_allclose(
        ready, ORACLE[f"{kind}.{size}.pixels"], atol=tolerance(kind, size, level)
    )


def tolerance(kind: str, size: str, other_order: float) -> float:
    """That picture becomes much flatter, and Pillow begins with its rows."""
    return other_order if (kind, size) == ("classifier", "tall") else 1e-5


def placed_and_fitted(check: PictureCheck, pixels: U8) -> jax.Array:
    device = placed(check, pixels)
    return check._fit[pixels.shape](device)


def test_a_large_picture_is_made_ready_as_pillow_does() -> None:
    """Where a filter weighs the most pixels: of 2,048 for CLIP's 224."""
    processing = VisionFolder.read(published_check()).processing
    pixels = np.random.default_rng(1).integers(256, size=(1, 2048, 1900, 3), dtype=np.uint8)
    pixels[:, :1000, :900] = 255
    axes = processing.placed(1900, 2048)
    fit = jax.jit(looking.fit)(
        *(looking.resizing(axis, processing.side_px, processing.filter) for axis in axes), pixels
    )
    assert [axis.resized for axis in axes] == [224, 241]
    pillow = Image.fromarray(pixels[0]).resize((224, 241), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit[0], np.asarray(pillow.crop((0, 8, 224, 232))))


@given(
    strategies.integers(1, 400),
    strategies.integers(1, 400),
    strategies.sampled_from(sorted(FILTERS.values())),
    strategies.randoms(use_true_random=False),
)
def test_the_weights_are_pillows(given_px: int, resized: int, name: str, rng: Random) -> None:
    line = np.array([[rng.choice((0, 255, rng.randrange(256))) for _ in range(given_px)]], np.uint8)
    upper, lower = looking.resizing(Axis(given_px, resized, 0), resized, name).astype(int)
    whole = (upper * 2**11 + lower) @ line[0] + 2**21
    filter_ = Image.Resampling[name.upper()]
    pillow = Image.fromarray(line).resize((resized, 1), filter_)
    np.testing.assert_array_equal((whole >> 22).clip(0, 255), np.asarray(pillow)[0])


def test_devices_share_the_pictures(check: PictureCheck) -> None:
    pixels = ORACLE["pictures.wide"]
    devices = jax.devices()[:4]
    spread = PictureCheck.load(check.name, devices=devices)
    alone = check.look(placed(check, pixels))()
    for own, other in zip(alone, spread.look(placed(spread, pixels, 4))(), strict=True):
        assert own == pytest.approx(other, abs=1e-6)


def test_nothing_is_compiled_for_pictures_of_the_host(
    check: PictureCheck, compiles: CompileCounter
) -> None:
    placed(check, ORACLE["pictures.wide"])
    before = compiles.count
    several = np.concatenate([ORACLE["pictures.tall"], ORACLE["pictures.tall"][:1]])
    assert len(check.look(several)()) == len(several)
    assert check.look(several)()[-1] == check.look(several)()[0]
    assert compiles.count == before


# Files


def changed(folder: Path, name: str, **keys: object) -> Path:
    data = json.loads((folder / name).read_text("utf-8"))
    for key, value in keys.items():
        data.pop(key, None)
        if value is not None:
            data[key] = value
    (folder / name).write_text(json.dumps(data), "utf-8")
    return folder


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(CHECKS / kind, tmp_path / kind))


@pytest.mark.parametrize(
    ("kind", "file", "keys", "said"),
    [
        ("classifier", "config.json", {"architectures": ["Other"]}, "a picture check must be"),
        ("classifier", "config.json", {"architectures": None}, "a picture check must be"),
        ("classifier", "config.json", {"id2label": None}, "id2label is missing"),
        ("classifier", "config.json", {"id2label": {"0": "a", "1": "a", "2": "b"}}, "id2label"),
        ("classifier", "config.json", {"id2label": {"0": "a", "7": "b"}}, "id2label"),
        ("classifier", "config.json", {"hidden_act": "relu"}, "hidden_act"),
        ("classifier", "config.json", {"qkv_bias": False}, "qkv_bias"),
        ("classifier", "config.json", {"problem_type": "regression"}, "problem_type"),
        ("classifier", "config.json", {"patch_size": 7}, "patch_size"),
        ("classifier", "config.json", {"num_attention_heads": 5}, "num_attention_heads"),
        ("classifier", "config.json", {"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ("classifier", "config.json", {"num_hidden_layers": 2}, "unexpected"),
        ("classifier", "preprocessor_config.json", {"do_resize": False}, "do_resize"),
        ("classifier", "preprocessor_config.json", {"resample": 0}, "resample"),
        ("classifier", "preprocessor_config.json", {"image_std": [1, 0, 1]}, "image_std"),
        ("classifier", "preprocessor_config.json", {"image_mean": None}, "image_mean"),
        ("classifier", "preprocessor_config.json", {"size": 31}, "size"),
        ("classifier", "preprocessor_config.json", {"size": {"shortest_edge": 32}}, "size"),
        ("safety_checker", "config.json", {"projection_dim": 21}, "misshapen"),
        ("safety_checker", "config.json", {"vision_config": {"num_channels": 4}}, "num_channels"),
        ("safety_checker", "preprocessor_config.json", {"crop_size": 27}, "crop_size"),
        ("safety_checker", "preprocessor_config.json", {"size": 27}, "crop_size"),
        ("safety_checker", "preprocessor_config.json", {"size": -1}, "size"),
    ],
)
def test_what_would_be_looked_at_otherwise_is_refused(
    copied: Callable[[str], Path], kind: str, file: str, keys: dict[str, object], said: str
) -> None:
    folder = changed(copied(kind), file, **keys)
    with pytest.raises(CheckpointError, match=said):
        PictureCheck.load(str(folder))


def test_names_of_later_transformers_are_known(copied: Callable[[str], Path]) -> None:
    folder = copied("safety_checker")
    path = folder / "model.safetensors"
    renamed = {
        name.replace("vision_model.vision_model.", "vision_model."): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(renamed, path)
    first, other = loaded("safety_checker"), PictureCheck.load(str(folder))
    for own, again in zip(
        jax.tree.leaves(first._weights), jax.tree.leaves(other._weights), strict=True
    ):
        np.testing.assert_array_equal(own, again)


def test_an_older_description_is_read(copied: Callable[[str], Path]) -> None:
    """The published one has its sizes in a second place, and one number for a size."""
    folder = copied("safety_checker")
    data = json.loads((folder / "config.json").read_text("utf-8"))
    small = {"num_hidden_layers": 1}
    changed(
        folder,
        "config.json",
        architectures=["SafetyChecker"],
        vision_config={**data["vision_config"], **small},
        vision_config_dict=data["vision_config"],
    )
    changed(folder, "preprocessor_config.json", size=31, crop_size=28, rescale_factor=None)
    assert VisionFolder.read(folder) == replace(
        VisionFolder.read(CHECKS / "safety_checker"), path=folder
    )


def test_pickles_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("classifier")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="only pickled weights"):
        PictureCheck.load(str(folder))


def test_a_check_that_is_nowhere_is_said() -> None:
    with pytest.raises(CheckpointError, match="There is no picture check 'nowhere'"):
        PictureCheck.load("nowhere")


def test_thresholds_stay_exact_in_bfloat16() -> None:
    folder = str(CHECKS / "safety_checker")
    check = PictureCheck.load(folder, dtype="bfloat16", devices=jax.devices()[:1])
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(check._weights)}
    assert dtypes == {"bfloat16", "float32"}
    pixels = ORACLE["pictures.small"]
    exact, rough = (one.look(placed(one, pixels))() for one in (loaded("safety_checker"), check))
    for own, other in zip(exact, rough, strict=True):
        assert own == pytest.approx(other, abs=0.05)


# Pictures


def test_every_picture_has_its_scores(pipeline: SdxlPipeline, compiles: CompileCounter) -> None:
    before = compiles.count
    reports = list(pipeline.generate(REQUEST, previews=True))
    images = drawn(reports)
    assert pipeline.checks == ("sexual", "special care")
    previews = [one for report in reports for one in report.previews]
    assert len(images) == 2
    assert len(previews) == 2 * 2
    for image in (*images, *previews):
        assert image.scores is not None
        assert tuple(image.scores) == pipeline.checks
    assert compiles.count == before
    # Those of these very pixels: what the host has, seen again.
    assert pipeline.picture_check is not None
    shown = np.stack([np.frombuffer(image.rgb, np.uint8).reshape(64, 64, 3) for image in images])
    for image, again in zip(images, pipeline.picture_check.look(shown)(), strict=True):
        assert image.scores == pytest.approx(again, abs=5e-3)


def test_without_a_check_there_are_no_scores() -> None:
    pipeline = SdxlPipeline.load(str(GOLDENS / "tiny_a"), devices=jax.devices()[:1])
    pipeline.warm_up([(64, 64)], num_images=1)
    (image,) = drawn(pipeline.generate(replace(REQUEST, num_images=1)))
    assert image.scores is None
    assert pipeline.checks == ()


def brought() -> Picture:
    levels = np.full((64, 64, 4), 255, np.uint8)
    levels[:, :32, :3] = 40
    levels[16:48, 16:48, 3] = 0  # what is painted
    data = levels.tobytes()
    return Picture(digest_of(64, 64, data).hex(), 64, 64, data)


PICTURE = brought()
ROUTES = {
    "from a prompt": REQUEST,
    "from a picture": replace(REQUEST, source=Source(PICTURE.digest, 0.7)),
    "beside a mask": replace(REQUEST, source=Source(PICTURE.digest, 0.7, mask=ALPHA)),
    "enlarged alone": replace(REQUEST, source=Source(PICTURE.digest, 0.0), upscale=1.5),
    "enlarged and drawn over": replace(REQUEST, source=Source(PICTURE.digest, 0.4), upscale=1.5),
}
by_route = pytest.mark.parametrize("request_", ROUTES.values(), ids=ROUTES)


def draw(pipeline: SdxlPipeline, request: ImageRequest) -> Iterator[Progress]:
    return pipeline.generate(request, pictures={PICTURE.digest: PICTURE})


@by_route
def test_what_is_seen_is_what_is_shown(
    pipeline: SdxlPipeline, compiles: CompileCounter, request_: ImageRequest
) -> None:
    before = compiles.count
    images = drawn(draw(pipeline, request_))
    assert compiles.count == before
    assert pipeline.picture_check is not None
    width_px, height_px = request_.result_px
    shown = [np.frombuffer(one.rgb, np.uint8).reshape(height_px, width_px, 3) for one in images]
    again = pipeline.picture_check.look(np.stack(shown))()
    for image, scores in zip(images, again, strict=True):
        assert image.scores == pytest.approx(scores, abs=5e-3)


def raises(*_: object) -> Any:
    raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")


def answers(scores: object) -> Callable[..., Any]:
    return lambda *_: jax.numpy.asarray(scores, np.float32)


FAULTS = {
    "it raises": (raises, "RESOURCE_EXHAUSTED"),
    "NaN": (answers([[0.5, np.nan], [0.5, 0.5]]), "no numbers of 0 to 1"),
    "NaN of the last": (answers([[0.5, 0.5], [0.5, np.nan]]), "no numbers of 0 to 1"),
    "infinite": (answers([[0.5, np.inf], [0.5, 0.5]]), "no numbers of 0 to 1"),
    "beyond one": (answers([[0.5, 1.5], [0.5, 0.5]]), "no numbers of 0 to 1"),
    "too few": (answers([[0.5, 0.5]]), "shape"),
    "too many categories": (answers([[0.5, 0.5, 0.5]] * 2), "shape"),
    "one number": (answers(0.5), "dimension"),
}


@pytest.mark.parametrize(("program", "cause"), FAULTS.values(), ids=FAULTS)
@by_route
def test_where_nobody_can_look_nothing_is_shown(
    pipeline: SdxlPipeline,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_: ImageRequest,
    program: Callable[..., Any],
    cause: str,
) -> None:
    assert pipeline.picture_check is not None
    monkeypatch.setattr(pipeline.picture_check, "_look", {2: program})
    with pytest.raises(PictureCheckError, match="so nothing is shown") as caught:
        drawn(draw(pipeline, request_))
    assert cause in str(caught.value.__cause__)
    assert cause in caplog.text


def test_a_preview_that_nobody_can_look_at_is_left_out(
    pipeline: SdxlPipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check = pipeline.picture_check
    assert check is not None
    real, calls = check._look[2], iter(range(100))
    monkeypatch.setattr(
        check, "_look", {2: lambda *given: raises() if next(calls) == 0 else real(*given)}
    )
    reports = list(pipeline.generate(REQUEST, previews=True))
    assert [len(report.previews) for report in reports] == [0, 0, 2, 0]
    assert all(image.scores for image in drawn(reports))
    assert "a preview is left out" in caplog.text


class Stuck:
    """Scores that come when they are let go: until then the device says nothing."""

    def __init__(self, go: threading.Event, waits: threading.Event) -> None:
        self._go, self._waits = go, waits

    def copy_to_host_async(self) -> None:
        """Nothing comes yet."""

    def __array__(self, *_: object, **__: object) -> npt.NDArray[np.float32]:
        self._waits.set()
        assert self._go.wait(WAIT_S)
        return np.full((2, 2), 0.25, np.float32)


def test_a_check_that_hangs_is_seen_as_any_hang_and_shows_nothing(
    pipeline: SdxlPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, waits, now_s = threading.Event(), threading.Event(), [0.0]
    assert pipeline.picture_check is not None
    monkeypatch.setattr(pipeline.picture_check, "_look", {2: lambda *_: Stuck(go, waits)})
    engine = EngineThread(lambda: pipeline, clock=lambda: now_s[0])
    engine.start()
    job = engine.submit(REQUEST)
    assert waits.wait(WAIT_S)
    now_s[0] = 301.0
    assert engine.silent_s == 301.0
    assert not job.future.done()
    go.set()
    assert [image.scores for image in job.future.result(WAIT_S)] == [
        {"sexual": 0.25, "special care": 0.25}
    ] * 2
    assert engine.close()


def test_the_engine_goes_on_after_a_check_that_failed(
    pipeline: SdxlPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline.picture_check is not None
    engine = EngineThread(lambda: pipeline)
    engine.start()
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.picture_check, "_look", {2: raises})
        failure = engine.submit(REQUEST).future.exception(WAIT_S)
    assert isinstance(failure, PictureCheckError)
    assert len(engine.submit(REQUEST).future.result(WAIT_S)) == 2
    assert engine.close()


def test_the_embedded_models_check_knows_its_subjects() -> None:
    """Of the world's own drawings; of the model's pictures training/check_agreement.py tells."""
    own = PictureCheck.load("doodle", devices=jax.devices()[:1])
    assert own.categories == (*SUBJECTS, "other")
    scenes = single_scenes(48, seed=7)
    pixels = np.stack([draw_scene(scene) for scene in scenes])
    placed(own, pixels[:16])
    found = [max(scores, key=lambda label: scores[label]) for scores in own.look(pixels)()]
    right = [said == scene.things[0].subject for said, scene in zip(found, scenes, strict=True)]
    assert sum(right) >= 0.9 * len(right)
