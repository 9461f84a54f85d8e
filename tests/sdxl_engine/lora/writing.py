"""LoRA files of every kind for a tiny model, and what they come to, in float64.

The formulas are written anew from the papers and from LyCORIS, in plain numpy.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from sdxl_engine.lora.names import PARTS

F64 = npt.NDArray[np.float64]
# A module's tensors by the ends of their names, and its new weight at a strength.
Made = tuple[dict[str, F64], Callable[[float], F64]]
Make = Callable[[np.random.Generator, F64], Made]
ALPHA = 3.0
RANK = 2


def weights(folder: Path) -> dict[tuple[str, str], F64]:
    """Every tensor of the parts that a LoRA may change, by part and today's name."""
    found = {}
    for part in PARTS:
        for path in (folder / part).glob("*.safetensors"):
            for name, tensor in load_file(path).items():
                if not name.endswith("position_ids"):
                    plain = part == "unet" or name.startswith("text_")
                    found[part, name if plain else f"text_model.{name}"] = tensor.astype(float)
    return found


def linear(base: F64, delta: F64) -> Callable[[float], F64]:
    return lambda strength: base + strength * delta.reshape(base.shape)


def lora(rng: np.random.Generator, base: F64, *, alpha: float | None = ALPHA) -> Made:
    up, down = rng.normal(size=(len(base), RANK)), rng.normal(size=(RANK, *base.shape[1:]))
    factor = 1 if not alpha else alpha / RANK
    tensors = {
        "lora_up.weight": up.reshape(*up.shape, *[1] * (base.ndim - 2)),
        "lora_down.weight": down,
    }
    if alpha is not None:
        tensors["alpha"] = np.array(alpha)
    return tensors, linear(base, factor * up @ down.reshape(RANK, -1))


def no_alpha(rng: np.random.Generator, base: F64) -> Made:
    return lora(rng, base, alpha=None)


def alpha_of_nothing(rng: np.random.Generator, base: F64) -> Made:
    return lora(rng, base, alpha=0.0)


def mid(rng: np.random.Generator, base: F64) -> Made:
    """LoCon with a core: 1x1 down, 3x3 between ranks, 1x1 up."""
    if base.ndim == 2:
        return lora(rng, base)
    up, down = rng.normal(size=(len(base), RANK)), rng.normal(size=(3, base.shape[1]))
    core = rng.normal(size=(RANK, 3, *base.shape[2:]))
    tensors = {
        "lora_up.weight": up[:, :, None, None],
        "lora_down.weight": down[:, :, None, None],
        "lora_mid.weight": core,
        "alpha": np.array(ALPHA),
    }
    return tensors, linear(base, ALPHA / 3 * np.einsum("or,rsxy,si->oixy", up, core, down))


def loha(rng: np.random.Generator, base: F64) -> Made:
    flat = base.reshape(len(base), -1)
    a, b = rng.normal(size=(2, len(base), RANK)), rng.normal(size=(2, RANK, flat.shape[1]))
    tensors = {f"hada_w{n + 1}_a": a[n] for n in (0, 1)} | {
        f"hada_w{n + 1}_b": b[n] for n in (0, 1)
    }
    delta = (a[0] @ b[0]) * (a[1] @ b[1]) * ALPHA / RANK
    return {**tensors, "alpha": np.array([ALPHA])}, linear(base, delta)


def loha_tucker(rng: np.random.Generator, base: F64) -> Made:
    if base.ndim == 2:
        return loha(rng, base)
    tensors: dict[str, F64] = {"alpha": np.array(ALPHA)}
    delta = np.array(ALPHA / RANK)
    for n in (1, 2):
        a, b = rng.normal(size=(RANK, len(base))), rng.normal(size=(RANK, base.shape[1]))
        core = rng.normal(size=(RANK, RANK, *base.shape[2:]))
        tensors |= {f"hada_w{n}_a": a, f"hada_w{n}_b": b, f"hada_t{n}": core}
        delta = delta * np.einsum("ijxy,jr,ip->prxy", core, b, a)
    return tensors, linear(base, delta)


def _lokr(
    rng: np.random.Generator, base: F64, *, first: bool, second: bool, tucker: bool = False
) -> Made:
    """`first`, `second`: whether that factor is decomposed."""
    out, wide, taps = len(base), base.shape[1], base.shape[2:]
    one, two = (2, 4), (out // 2, wide // 4, *taps)
    tensors: dict[str, F64] = {"alpha": np.array(ALPHA)}
    if first:
        a, b = rng.normal(size=(2, RANK)), rng.normal(size=(RANK, 4))
        tensors |= {"lokr_w1_a": a, "lokr_w1_b": b}
        small = a @ b
    else:
        small = tensors["lokr_w1"] = rng.normal(size=one)
    if second and tucker and taps:
        a, b = rng.normal(size=(RANK, two[0])), rng.normal(size=(RANK, two[1]))
        core = rng.normal(size=(RANK, RANK, *taps))
        tensors |= {"lokr_w2_a": a, "lokr_w2_b": b, "lokr_t2": core}
        large = np.einsum("ijxy,ip,jr->prxy", core, a, b)
    elif second:
        a, b = rng.normal(size=(two[0], RANK)), rng.normal(size=(RANK, int(np.prod(two[1:]))))
        tensors |= {"lokr_w2_a": a, "lokr_w2_b": b}
        large = (a @ b).reshape(two)
    else:
        large = tensors["lokr_w2"] = rng.normal(size=two)
    factor = ALPHA / RANK if first or second else 1.0
    large = large.reshape(two)
    pairs = [[small[i, j] * large for j in range(small.shape[1])] for i in range(small.shape[0])]
    delta = np.concatenate([np.concatenate(row, axis=1) for row in pairs], axis=0)
    return tensors, linear(base, factor * delta)


def lokr(rng: np.random.Generator, base: F64) -> Made:
    return _lokr(rng, base, first=False, second=True)


def lokr_whole(rng: np.random.Generator, base: F64) -> Made:
    return _lokr(rng, base, first=False, second=False)


def lokr_both(rng: np.random.Generator, base: F64) -> Made:
    return _lokr(rng, base, first=True, second=True)


def lokr_tucker(rng: np.random.Generator, base: F64) -> Made:
    return _lokr(rng, base, first=False, second=True, tucker=True)


def _dora(made: Made, base: F64, lengths: F64, axes: tuple[int, ...]) -> Made:
    tensors, moved = made

    def new(strength: float) -> F64:
        whole = moved(1.0)
        norms = np.sqrt((whole**2).sum(axis=axes, keepdims=True))
        changed: F64 = base + strength * (whole * (lengths / norms) - base)
        return changed

    return {**tensors, "dora_scale": lengths}, new


def dora(rng: np.random.Generator, base: F64) -> Made:
    lengths = rng.uniform(0.5, 2, size=(len(base), *[1] * (base.ndim - 1)))
    return _dora(lora(rng, base), base, lengths, tuple(range(1, base.ndim)))


def dora_by_input(rng: np.random.Generator, base: F64) -> Made:
    lengths = rng.uniform(0.5, 2, size=(1, base.shape[1], *[1] * (base.ndim - 2)))
    return _dora(lora(rng, base), base, lengths, (0, *range(2, base.ndim)))


def dora_of_loha(rng: np.random.Generator, base: F64) -> Made:
    lengths = rng.uniform(0.5, 2, size=(len(base), *[1] * (base.ndim - 1)))
    return _dora(loha(rng, base), base, lengths, tuple(range(1, base.ndim)))


def whole(rng: np.random.Generator, base: F64) -> Made:
    delta = rng.normal(size=base.shape)
    return {"diff": delta}, linear(base, delta)


KINDS: Mapping[str, Make] = {
    make.__name__: make
    for make in (
        lora,
        no_alpha,
        alpha_of_nothing,
        mid,
        loha,
        loha_tucker,
        lokr,
        lokr_whole,
        lokr_both,
        lokr_tucker,
        dora,
        dora_by_input,
        dora_of_loha,
        whole,
    )
}


def changed(folder: Path) -> list[tuple[str, str]]:
    """Part and name of the modules that the tests change: every kind of layer there is."""
    return [
        (part, name.removesuffix(".weight"))
        for (part, name), tensor in weights(folder).items()
        if name.endswith(".weight")
        and tensor.ndim > 1
        and "embedding" not in name.replace("time_emb_proj", "").replace("_embedding.linear", "")
        and name not in {"conv_in.weight", "conv_out.weight"}  # their channels do not divide
    ]


def flat(part: str, module: str) -> str:
    """kohya's name with diffusers' numbering."""
    tag = {"unet": "unet", "text_encoder": "te1", "text_encoder_2": "te2"}[part]
    return f"lora_{tag}_{module.replace('.', '_')}"


def write(
    path: Path,
    folder: Path,
    make: Make,
    *,
    seed: int = 0,
    one_in: int = 1,
    dtype: Any = np.float32,
    names: Callable[[str, str], str] = flat,
    metadata: dict[str, str] | None = None,
) -> Callable[[float], dict[tuple[str, str], F64]]:
    """A file that changes one in so many of `changed`; returns the weights at a strength."""
    rng = np.random.default_rng(seed)
    base = weights(folder)
    tensors, new = {}, {}
    for part, module in changed(folder)[::one_in]:
        made, new[part, f"{module}.weight"] = make(rng, base[part, f"{module}.weight"])
        for end, tensor in made.items():
            tensors[f"{names(part, module)}.{end}"] = np.ascontiguousarray(tensor).astype(dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata)
    return lambda strength: {**base, **{key: at(strength) for key, at in new.items()}}
