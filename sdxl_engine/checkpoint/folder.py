"""The weight files of a model folder in diffusers format: which there are, and which are read."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sdxl_engine.checkpoint.json_reader import parse_json
from sdxl_engine.errors import CheckpointError

WEIGHT_STEMS: Final = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}
_PICKLES: Final = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack")
_NAMED: Final = 8  # offenders named a kind in one error: enough to see the pattern


def weight_files(names: Iterable[str], part: str, *, half: bool) -> list[str]:
    """The weight files of one part among the names of a folder or repository.

    half  prefer files of the fp16 variant, else the plain ones; either serves where one is missing

    A sharded part is named by its index file first, then its shards.
    Raises CheckpointError if there are none, or only pickles.
    """
    own = sorted(name for name in names if name.startswith(f"{part}/"))
    stem = re.escape(WEIGHT_STEMS[part])
    for variant in ("fp16", "") if half else ("", "fp16"):
        dot = re.escape(f".{variant}") if variant else ""
        index = re.compile(rf"{part}/{stem}\.safetensors\.index{dot}\.json")
        shard = re.compile(rf"{part}/{stem}{dot}-\d{{5}}-of-\d{{5}}\.safetensors")
        whole = re.compile(rf"{part}/{stem}{dot}\.safetensors")
        if found := [name for name in own if whole.fullmatch(name)]:
            return found
        if found := [name for name in own if index.fullmatch(name)]:
            return found + [name for name in own if shard.fullmatch(name)]
    if pickles := [name for name in own if name.endswith(_PICKLES)]:
        raise CheckpointError(
            f"{part}/ holds only pickled weights ({pickles[0]}), which can run code when they are "
            "opened. This engine reads safetensors only: convert the model, or choose another."
        )
    raise CheckpointError(
        f"{part}/ holds no {WEIGHT_STEMS[part]}.safetensors. Fetch the model again, or point to a "
        "folder in diffusers format."
    )


def part_files(folder: Path, part: str, *, half: bool) -> list[Path]:
    """The safetensors files of one part of a model folder, shards checked against their index."""
    present = [f"{part}/{path.name}" for path in (folder / part).glob("*")]
    chosen = [folder / name for name in weight_files(present, part, half=half)]
    if chosen[0].suffix != ".json":
        return chosen
    index, *shards = chosen
    try:
        weight_map = parse_json(index.read_bytes()).get("weight_map")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{index} cannot be read as JSON: {error}.") from error
    named = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not named or not all(isinstance(name, str) for name in named):
        raise CheckpointError(f"{index} names no shards in its weight_map. Fetch the model again.")
    if missing := sorted(set(named) - {shard.name for shard in shards}):
        raise CheckpointError(
            f"{part}/ lacks {listed(missing)}, named by {index.name}. Fetch the model again."
        )
    return [shard for shard in shards if shard.name in named]


def listed(names: list[str]) -> str:
    """The first few of these names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
