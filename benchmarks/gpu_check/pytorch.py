"""The same step in PyTorch, by diffusers where that is here, else by `torch_unet`; and pieces."""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from benchmarks.gpu_check.setting import DEVIATION, Part, timed_ms
from benchmarks.gpu_check.shapes import ATTENTIONS, CONVOLUTIONS, FEEDS, GEMM, TEXT_TOKENS, Shapes
from sdxl_engine.checkpoint.config import SdxlConfig

_TIMESTEP: Final = 500.0
_AUTOTUNE_S: Final = 240.0  # what is to be left for max-autotune
_CALLS: Final = 3


def run(part: Part) -> None:
    """Steps first, compiled and not, then the pieces."""
    try:
        import torch  # noqa: PLC0415 - it may not be here
    except ImportError as error:
        part.tell(absent=f"torch is not here: {error}")
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True  # as who wants it fast has it
    torch.manual_seed(0)
    part.tell(
        images=part.setting.images,
        version=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        device=device.type,
    )

    def wait(_: object) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        model, step = _step(part, device)
        part.tell(parameters=sum(each.numel() for each in model.parameters()))
        part.attempt("eager_ms", lambda: _timed(part, lambda: step(model), wait))
        if device.type == "cuda":
            part.tell(peak_bytes=torch.cuda.max_memory_allocated())
        part.attempt("pieces", lambda: _pieces(part, device, wait))

        def compiled(mode: str) -> float:
            torch.compiler.reset()
            fast = torch.compile(model, mode=mode, fullgraph=True)
            begin_s = time.perf_counter()
            step(fast)
            wait(None)
            part.tell(**{f"{mode}_compile_s": round(time.perf_counter() - begin_s, 1)})
            return _timed(part, lambda: step(fast), wait)

        part.attempt("compiled_ms", lambda: compiled("default"))
        if part.left_s > _AUTOTUNE_S and device.type == "cuda":
            part.attempt("autotuned_ms", lambda: compiled("max-autotune-no-cudagraphs"))


def _timed(part: Part, call: Callable[[], Any], wait: Callable[[Any], Any]) -> float:
    return timed_ms(call, wait, rounds=part.setting.rounds, calls=_CALLS)


def _step(part: Part, device: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The UNet on the device in bfloat16, and what takes one guided step of a request with it."""
    import torch  # noqa: PLC0415 - as above

    setting = part.setting
    whole = SdxlConfig.load(setting.model)
    config, factor = whole.unet, whole.vae.scale_factor
    try:
        from diffusers import UNet2DConditionModel  # noqa: PLC0415 - as above
    except Exception as error:  # noqa: BLE001 - it fails in many ways beside a newer library
        from benchmarks.gpu_check.torch_unet import TorchUNet  # noqa: PLC0415 - needs torch

        part.tell(model="plain PyTorch", no_diffusers=str(error)[:200])
        own = True
        with torch.device("meta"):
            model = TorchUNet(config)
    else:
        import diffusers  # noqa: PLC0415 - as above

        part.tell(model=f"diffusers {diffusers.__version__}")
        own = False
        with torch.device("meta"):
            model = UNet2DConditionModel.from_config(
                json.loads((setting.model / "unet" / "config.json").read_text("utf-8"))
            )
    model = model.to(torch.bfloat16).to_empty(device=device).eval()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(False).normal_(std=DEVIATION)
        if "norm" in name and name.endswith("weight"):
            parameter.fill_(1)
    model = model.to(memory_format=torch.channels_last)
    batch = 2 * setting.images  # with guidance

    def normal(*shape: int) -> Any:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    width_px, height_px = setting.size_px
    sample = normal(batch, config.in_channels, height_px // factor, width_px // factor)
    sample = sample.to(memory_format=torch.channels_last)
    text = normal(batch, TEXT_TOKENS, config.cross_attention_dim)
    sizes = [float(each) for each in (height_px, width_px, 0, 0, height_px, width_px)]
    time_ids = torch.tensor([sizes] * batch, device=device)
    pooled_width = config.projection_class_embeddings_input_dim
    pooled = normal(batch, pooled_width - 6 * config.addition_time_embed_dim)
    timestep = torch.tensor(_TIMESTEP, device=device)

    def step(model: Any) -> Any:
        if own:
            return model(sample, timestep, text, pooled, time_ids)
        added = {"text_embeds": pooled, "time_ids": time_ids}
        return model(sample, timestep, encoder_hidden_states=text, added_cond_kwargs=added).sample

    return model, step


def _pieces(part: Part, device: Any, wait: Callable[[Any], Any]) -> dict[str, float]:
    """Milliseconds by name, as `pieces` has them."""
    import torch  # noqa: PLC0415 - as above
    import torch.nn.functional as F  # noqa: N812, PLC0415

    shapes = Shapes(part.setting)

    def normal(*shape: int) -> Any:
        return torch.randn(shape, device=device, dtype=torch.bfloat16)

    times: dict[str, float] = {}

    def time_of(name: str, call: Callable[[], Any]) -> None:
        times[name] = timed_ms(call, wait, rounds=part.setting.rounds, calls=shapes.calls)

    side = shapes.shrunk(GEMM)
    one, other = normal(side, side), normal(side, side)
    time_of(shapes.gemm, partial(torch.matmul, one, other))
    for attention in ATTENTIONS:
        query, key, value = (
            normal(shapes.batch, attention.heads, tokens, attention.dim)
            for tokens in shapes.tokens(attention)
        )
        time_of(attention.name, partial(F.scaled_dot_product_attention, query, key, value))
    for convolution in CONVOLUTIONS:
        channels, side = shapes.convolution(convolution)
        picture = normal(shapes.batch, channels, side, side).to(memory_format=torch.channels_last)
        kernel = normal(channels, channels, 3, 3).to(memory_format=torch.channels_last)
        time_of(convolution.name, partial(F.conv2d, picture, kernel, padding=1))
    for feed in FEEDS:
        dim, tokens = shapes.feed(feed)
        x, kernel = normal(shapes.batch, tokens, dim), normal(8 * dim, dim)

        def geglu(x: Any = x, kernel: Any = kernel) -> Any:
            hidden, gate = F.linear(x, kernel).chunk(2, dim=-1)
            return hidden * F.gelu(gate)

        time_of(feed.name, geglu)
    return times
