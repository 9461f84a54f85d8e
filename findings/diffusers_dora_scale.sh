#!/usr/bin/env bash
# diffusers 0.42.1 (peft 0.21.2): a DoRA file in kohya's names is loaded without an error and drawn as another
# model: `dora_scale` is left out with a line in the log, and what remains is applied as a plain LoRA. Its
# magnitudes are half of what a DoRA is, so one would expect a refusal.
#
# Seen: distance from the plain LoRA 0.0, from the DoRA 5.2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
"$folder/venv/bin/pip" install --quiet "diffusers==0.42.1" "transformers==5.23.0" "peft==0.21.2" "accelerate==1.15.0"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import StableDiffusionXLLoraLoaderMixin as Loader

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8,
    block_out_channels=(8, 16),
    layers_per_block=1,
    norm_num_groups=4,
    attention_head_dim=4,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=12,
)
name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
weight = unet.get_submodule(name).weight.detach().clone()
down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
magnitude = 2 * weight.norm(dim=1, keepdim=True)
flat = "lora_unet_" + name.replace(".", "_")
file = {
    f"{flat}.lora_down.weight": down,
    f"{flat}.lora_up.weight": up,
    f"{flat}.alpha": torch.tensor(2.0),
    f"{flat}.dora_scale": magnitude,
}
state, alphas = Loader.lora_state_dict(file, unet_config=unet.config)
Loader.load_lora_into_unet(state, network_alphas=alphas, unet=unet, adapter_name="it")
unet.fuse_lora()
module = unet.get_submodule(name)
fused = getattr(module, "base_layer", module).weight.detach()
plain = weight + up @ down
dora = magnitude * plain / plain.norm(dim=1, keepdim=True)
from_plain, from_dora = (float((fused - other).abs().max()) for other in (plain, dora))
print(f"distance from the plain LoRA {from_plain:.1f}, from the DoRA {from_dora:.1f}")
assert from_plain < 1e-4 and from_dora > 1, "this has changed"
PYTHON
