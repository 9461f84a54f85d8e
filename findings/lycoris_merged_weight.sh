#!/usr/bin/env bash
# lycoris-lora 4.1.3: `get_merged_weight` of a LoHa or a decomposed LoKr module multiplies the change by
# alpha / rank twice; the module's own forward pass does it once. With alpha 1 and rank 2 the merged change
# is half of what the module computes. Of a plain LoRA (LoCon) both are equal. One would expect a merged
# weight to compute what the module does.
#
# Seen: merged / computed: LoConModule 1.00, LohaModule 0.50, LokrModule 0.50
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
"$folder/venv/bin/pip" install --quiet --no-deps "lycoris-lora==4.1.3" "einops==0.8.1" "toml==0.10.2" "numpy==2.3.5" "safetensors==0.8.0" "tqdm==4.67.1"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule

torch.manual_seed(0)
said = []
for kind, wanted in ((LoConModule, 1.0), (LohaModule, 0.5), (LokrModule, 0.5)):
    linear = torch.nn.Linear(64, 64, bias=False)
    module = kind("x", linear, multiplier=1.0, lora_dim=2, alpha=1.0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
        base = linear.weight.clone()
        merged = module.get_merged_weight(1.0, (64, 64))[0] - base
        module.apply_to()
        computed = linear(torch.eye(64)).T - base
    ratio = float((merged / computed).median())
    said.append(f"{kind.__name__} {ratio:.2f}")
    assert abs(ratio - wanted) < 0.01, f"{kind.__name__}: {ratio}: this has changed"
print("merged / computed:", ", ".join(said))
PYTHON
