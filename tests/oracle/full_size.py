"""SDXL base 1.0 in full size, with random weights, and what PyTorch diffusers makes of it.

    .oracle/bin/python tests/oracle/full_size.py count
    .oracle/bin/python tests/oracle/full_size.py write FOLDER [--all]

`count` checks the numbers of parameters against the published ones. `write` makes FOLDER a
checkpoint in diffusers format, float32, in shards of 2 GB: the UNet (10.3 GB on disk, some 11 GB of
memory), and with --all also both text encoders, the VAE and small tokenizers, so that the whole
pipeline can be loaded (14 GB). The JSON files come from sdxl_engine/sdxl_base.

FOLDER/oracle.safetensors holds one forward pass, in PyTorch's layouts, all float32 unless said:

    unet.sample                 2, 4, 32, 32
    unet.timestep               scalar, 951
    unet.encoder_hidden_states  2, 77, 2048
    unet.text_embeds            2, 1280
    unet.time_ids               2, 6
    unet.output                 2, 4, 32, 32
    unet.inside.NAME            what diffusers' module NAME returned, as in tests/goldens/README.md

and with --all, as in tests/goldens/README.md: `text_encoder.…` and `text_encoder_2.…` (their
`.token_ids`, int32, 2 x 77), `vae.…` (image 128 x 128).
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from record import Arrays, save_copies, text_arrays, unet_arrays, unet_inputs, vae_arrays
from safetensors.torch import save_file
from tiny_models import GOLDENS, WORDS_A, enliven, write_tokenizers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

CONFIGS: Final = GOLDENS.parents[1] / "sdxl_engine" / "sdxl_base"
SEED: Final = 7
NUM_TOKENS: Final = 77
LATENT_SIZE: Final = (32, 32)
IMAGE_SIZE_PX: Final = (128, 128)
TIMESTEP: Final = 951.0
SHARD: Final = "2GB"

NUM_PARAMETERS: Final = {
    "unet": 2_567_463_684,
    "text_encoder": 123_060_480,
    "text_encoder_2": 694_659_840,
    "vae": 83_653_863,
}
NUM_DECODER_PARAMETERS: Final = 49_490_179


def build(part: str) -> Any:
    """One network of SDXL from its JSON, in PyTorch's own initial state."""
    if part == "unet":
        return UNet2DConditionModel.from_config(_config(part)).eval()
    if part == "vae":
        return AutoencoderKL.from_config(_config(part)).eval()
    config = _config(part)
    # Settings of the library that wrote the file, not of the model.
    for key in ("architectures", "dropout", "torch_dtype", "transformers_version"):
        del config[key]
    kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
    network: Any = kind(CLIPTextConfig(**config))
    return network.eval()


def _config(part: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(
        (CONFIGS / part / "config.json").read_text(encoding="utf-8")
    )
    return config


def count() -> None:
    """Print the number of parameters of each network; raise if it is not the published one."""
    for part, expected in NUM_PARAMETERS.items():
        with torch.device("meta"):
            network = build(part)
        found = _num_parameters(network)
        print(f"{part:16} {found:>13,} parameters")
        _require_equal(part, found, expected)
        if part == "vae":
            decoder = _num_parameters(network.decoder)
            print(f"{'its decoder':16} {decoder:>13,} parameters")
            _require_equal("the VAE's decoder", decoder, NUM_DECODER_PARAMETERS)


def _num_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _require_equal(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise SystemExit(f"{what} has {found:,} parameters, not {expected:,}")


def write(folder: Path, parts: tuple[str, ...]) -> None:
    """Write the weights part by part, each forgotten before the next is built."""
    shutil.copytree(CONFIGS, folder, dirs_exist_ok=True)
    if "text_encoder" in parts:
        write_tokenizers(folder, (WORDS_A, WORDS_A), max_length=NUM_TOKENS)
    arrays: Arrays = {}
    for place, part in enumerate(parts):
        started_s = time.monotonic()
        draw = torch.Generator().manual_seed(SEED + place)
        torch.manual_seed(SEED + place)
        network = build(part)
        enliven(network, text_gain=1.0, stream_gain=1.0)
        _save(network, folder / part)
        arrays |= _forward(part, network, draw)
        del network
        print(f"{part}: {time.monotonic() - started_s:.0f} s", flush=True)
    for name, tensor in sorted(arrays.items()):
        values = tensor.double()
        if not torch.isfinite(values).all():
            raise SystemExit(f"{name} is not finite")
        print(
            f"  {name:44} {list(tensor.shape)!s:20} {float(values.min()):9.3f} .."
            f" {float(values.max()):9.3f}  std {float(values.std(correction=0)):8.3f}"
        )
    save_file(save_copies(arrays), folder / "oracle.safetensors")


def _save(network: Any, folder: Path) -> None:
    config = (folder / "config.json").read_bytes()
    network.save_pretrained(folder, max_shard_size=SHARD, safe_serialization=True)
    # The libraries write the JSON in their newest form; the published one is what we test with.
    (folder / "config.json").write_bytes(config)


def _forward(part: str, network: Any, draw: torch.Generator) -> Arrays:
    if part == "vae":
        arrays: Arrays = vae_arrays(network, IMAGE_SIZE_PX, draw)
        return arrays
    if part == "unet":
        inputs = unet_inputs(network, NUM_TOKENS, draw)
        outputs = unet_arrays(
            "unet", network, inputs, size=LATENT_SIZE, timestep=TIMESTEP, draw=draw
        )
        return {**inputs, **outputs}
    # The end token, which is the largest id, stands in the middle of one row and last in the other.
    end = network.config.vocab_size - 1
    token_ids = torch.randint(end, (2, NUM_TOKENS), generator=draw)
    token_ids[0, NUM_TOKENS // 2] = token_ids[1, -1] = end
    return {f"{part}.token_ids": token_ids.int(), **text_arrays(part, network, token_ids)}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("count", help="check the numbers of parameters")
    writer = commands.add_parser("write", help="write a checkpoint and one forward pass")
    writer.add_argument("folder", type=Path)
    writer.add_argument("--all", action="store_true", help="not the UNet alone")
    arguments = parser.parse_args()
    count()
    if arguments.command == "write":
        write(arguments.folder, tuple(NUM_PARAMETERS) if arguments.all else ("unet",))


if __name__ == "__main__":
    main()
