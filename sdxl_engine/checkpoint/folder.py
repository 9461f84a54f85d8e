"""The weight files of a model folder in diffusers format: which there are, and which are read."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint.files import check_file, reason
from sdxl_engine.checkpoint.json_reader import plain, read_json
from sdxl_engine.errors import CheckpointError

WEIGHT_STEMS: Final = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
# Networks that look at pictures are no part of a model.
_STEMS: Final = {**WEIGHT_STEMS, "safety_checker": "model", "classifier": "model"}
_VARIANT: Final = r"(?:\.(?P<variant>[^./]+?))?"
_OTHER: Final = _VARIANT.replace("variant", "other")
_HALF_FIRST: Final = ("fp16", "bf16", "", "fp32")
_WHOLE_FIRST: Final = ("", "fp32", "fp16", "bf16")
_PICKLES: Final = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")
# What ends so names a file and no repository, though that could be called so.
WEIGHT_SUFFIXES: Final = (".safetensors", ".gguf", *_PICKLES)
_NAMED: Final = 8  # offenders named a kind in one error: enough to see the pattern


def weight_files(names: Iterable[str], part: str, *, half: bool) -> list[str]:
    """The weight files of one part among the names of a folder or repository.

    half  prefer the files that are half as long

    Of several variants (`model.VARIANT.safetensors`) one is read: where half is asked for fp16 or
    else bf16, then the plain files, then fp32; where it is not, the plain ones, then fp32, fp16 and
    bf16; where there is none of these, the first of the others by name. Whole before sharded.
    A sharded part is named by its index file first, then its shards.
    Raises CheckpointError if there are none, or only pickles.
    """
    own = sorted(name for name in names if name.startswith(f"{part}/"))
    stem = re.escape(_STEMS[part])
    # diffusers has written a variant's shards in both ways.
    shard = re.compile(rf"{part}/{stem}{_VARIANT}-\d{{5}}-of-\d{{5}}{_OTHER}\.safetensors")
    index = re.compile(rf"{part}/{stem}\.safetensors\.index{_VARIANT}\.json")
    whole = re.compile(rf"{part}/{stem}{_VARIANT}\.safetensors")
    shards: dict[str, list[str]] = {}
    indices: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for name in own:
        if match := shard.fullmatch(name):
            shards.setdefault(match["variant"] or match["other"] or "", []).append(name)
        elif match := index.fullmatch(name):
            indices[match["variant"] or ""] = name
        elif match := whole.fullmatch(name):
            found[match["variant"] or ""] = [name]
    for variant, name in indices.items():
        found.setdefault(variant, [name, *shards.get(variant, [])])
    for variant in [*(_HALF_FIRST if half else _WHOLE_FIRST), *sorted(found)]:
        if variant in found:
            return found[variant]
    if pickles := [name for name in own if name.endswith(_PICKLES)]:
        raise CheckpointError(
            f"{part}/ holds only pickled weights ({plain(pickles[0])}), which can run code when "
            "they are opened. This engine reads safetensors only: convert the model, or choose "
            "another."
        )
    raise CheckpointError(
        f"{part}/ holds no {_STEMS[part]}.safetensors. Fetch the model again, or point to a "
        "folder in diffusers format."
    )


def part_files(folder: Path, part: str, *, half: bool, alone: bool = False) -> list[Path]:
    """The safetensors files of one part of a model folder, shards checked against their index.

    alone  the folder is the part's own

    Raises CheckpointError, also where one of them is no file of this folder.
    """
    home = folder if alone else folder / part
    present = [f"{part}/{path.name}" for path in home.glob("*")]
    names = weight_files(present, part, half=half)
    if names[0].endswith(".json"):
        names = _shards(folder, home, part, *names)
    files = [home / name.removeprefix(f"{part}/") for name in names]
    for path in files:
        try:
            check_file(folder, path)
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read: {reason(error)}. Fetch the model again."
            ) from error
    return files


def _shards(folder: Path, home: Path, part: str, index: str, *shards: str) -> list[str]:
    """Those of the shards that their index names; raises CheckpointError if it names others."""
    index = index.removeprefix(f"{part}/")
    weight_map = read_json(folder, str((home / index).relative_to(folder))).get("weight_map")
    found = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not found or not all(isinstance(name, str) for name in found):
        raise CheckpointError(
            f"{home / index} names no shards in its weight_map. Fetch the model again."
        )
    named = {f"{part}/{name}" for name in found}
    if missing := sorted(name.removeprefix(f"{part}/") for name in named.difference(shards)):
        raise CheckpointError(
            f"{part}/ lacks {listed(missing)}, named by {index}. Fetch the model again."
        )
    return [shard for shard in shards if shard in named]


def listed(names: list[str]) -> str:
    """The first few of these names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(plain, names[:_NAMED])) + more
