"""The report as plain text, for people: what is there is shown, whatever else is missing."""

from collections.abc import Iterator, Mapping
from itertools import chain
from textwrap import wrap
from typing import Any, Final

from benchmarks.gpu_check.setting import DONE, PENDING

COLUMNS: Final = 100
_TITLES: Final = {
    "machine": "What is here",
    "doodle": "The embedded model, against the pictures that PyTorch drew in float32 on a CPU",
    "engine": "SDXL in full size with random weights, as a request is drawn",
    "pytorch": "The same step of the UNet in PyTorch, in this run",
    "pieces": "The largest pieces, in milliseconds: how the engine does it, and how else it could",
}
# Versions that are told in one row.
_TOGETHER: Final[tuple[tuple[str, ...], ...]] = (
    ("jax", "jaxlib", "flax"),
    ("torch", "diffusers", "transformers"),
)
_GIB: Final = 2**30
_WIDTH: Final = 34  # of the first column


def table(report: Mapping[str, Any]) -> str:
    """Plain text, at most COLUMNS wide."""
    dry = " (a dry run with tiny models: its times say nothing)" if report["tiny"] else ""
    lines = [f"GPU check, begun {report['began']}{dry}"]
    parts = report["parts"]
    for place, (name, found) in enumerate(parts.items(), start=1):
        took = f", {found['took_s']:.0f} s" if "took_s" in found else ""
        lines += ["", f"{place}. {_TITLES[name]}: {found['state']}{took}"]
        if found["state"] != PENDING:
            lines += _WRITERS[name](found, parts)
        if found["state"] != DONE and "failed" in found:
            lines.append(f"   {'why':<{_WIDTH}}{found['failed']}")
    indent = " " * (_WIDTH + 3)
    wrapped = (wrap(line, COLUMNS, subsequent_indent=indent) or [""] for line in lines)
    return "\n".join(chain.from_iterable(wrapped))


def _row(label: str, text: str) -> str:
    return f"   {label:<{_WIDTH}}{text}"


def _failed(found: Any) -> str | None:
    """Why a finding is none."""
    return str(found["failed"]) if isinstance(found, dict) and "failed" in found else None


def _number(found: Mapping[str, Any], key: str) -> float | None:
    value = found.get(key)
    return float(value) if isinstance(value, int | float) else None


def _machine(found: Mapping[str, Any], _parts: Mapping[str, Any]) -> Iterator[str]:
    cards = found.get("cards")
    for card in cards if isinstance(cards, list) else ():
        told = f"{card['name']}, {card['memory.total']}, driver {card['driver_version']}"
        yield _row("card", f"{told}, {card['power.limit']}")
    if why := _failed(cards):
        yield _row("card", f"nvidia-smi tells nothing: {why}")
    if "device" in found:
        seen = f"{found['devices']} x {found['device']} ({found['platform']})"
        capability = found.get("compute_capability")
        yield _row("jax sees", seen + (f", capability {capability}" if capability else ""))
        yield _row("", str(found.get("platform_version", "")))
    versions = {name: own or "not here" for name, own in found.get("versions", {}).items()}
    for names in _TOGETHER:
        yield _row(" / ".join(names), " / ".join(versions.get(name, "?") for name in names))
    cuda = [
        f"{name} {own}"
        for name, own in found.get("versions", {}).items()
        if own and name.startswith(("jax-cuda", "nvidia-cudnn"))
    ]
    yield _row("CUDA for jax, cuDNN", ", ".join(cuda) or "not among Python's packages")
    yield _row("Python, cores", f"{found.get('python')}, {found.get('cores')}")
    if found.get("compilation_cache"):
        yield _row("compiled programs", "are kept: seconds of compiling mean nothing")


def _doodle(found: Mapping[str, Any], _parts: Mapping[str, Any]) -> Iterator[str]:
    tolerance = found.get("tolerance")
    for dtype in ("float32", "bfloat16"):
        own = found.get(dtype)
        if own is None:
            continue
        if why := _failed(own):
            yield _row(dtype, f"FAILED: {why}")
            continue
        text = f"at most {own['largest']} levels of 255, on average {own['mean']:.3f}"
        if dtype == "float32":
            verdict = "good" if own["largest"] <= tolerance else "TOO FAR"
            text += f" ({tolerance} are allowed): {verdict}"
        yield _row(f"{dtype}, {found['pictures']} pictures", text)
        yield _row("", f"compiled in {own['compile_s']:.0f} s")
    if rounding := found.get("rounding"):
        yield _row(
            "bfloat16 beside float32, here",
            _failed(rounding)
            or f"latents {rounding['latents_share']:.2%}, pixels {rounding['mean']:.3f} levels, "
            f"at most {rounding['largest']}",
        )
    if check := found.get("picture_check"):
        if why := _failed(check):
            yield _row("picture check", f"FAILED: {why}")
            return
        for dtype, own in check.items():
            same = "the same" if own["same_first"] else "NOT THE SAME"
            text = f"scores at most {own['largest']:.4f} from the CPU's, {same} highest"
            yield _row(f"picture check, {dtype}", text)


def _engine(found: Mapping[str, Any], _parts: Mapping[str, Any]) -> Iterator[str]:
    for refusal in found.get("refused", ()):
        yield _row(refusal["way"], f"FAILED: {refusal['failed']}")
    if "images" in found:
        width_px, height_px = found["size_px"]
        size = (
            f"{found['images']} images of {width_px} x {height_px}, {found['steps']} guided steps"
        )
        yield _row("a request", f"{size}, {found['dtype']}")
        yield _row("attention, convolution kernels", f"{found['attention']}, {found['kernels']}")
    if compile_s := found.get("compile_s"):
        each = ", ".join(f"{name} {own:.0f}" for name, own in compile_s.items())
        yield _row("compiled, seconds", f"{sum(compile_s.values()):.0f}: {each}")
    if "no_picture" in found:
        yield _row("NOT FINITE", found["no_picture"])
    if "request_s" not in found:
        return

    def rate(key: str) -> str:
        number = _number(found, key)
        return "" if number is None else f"  {number:6.1f} TFLOP/s"

    rounds = f", median of {found['rounds']}"
    yield _row(
        f"a request, warm{rounds}", f"{found['request_s']:9.3f} s {rate('request_tflop_per_s')}"
    )
    yield _row("  both prompts encoded", f"{found['encode_ms']:9.2f} ms")
    yield _row("  a guided step", f"{found['step_ms']:9.2f} ms{rate('step_tflop_per_s')}")
    yield _row("  all images decoded", f"{found['decode_ms']:9.2f} ms{rate('decode_tflop_per_s')}")
    weights = f"{found['weights_bytes'] / _GIB:.1f} GiB of weights"
    peak = _number(found, "peak_bytes")
    yield _row("memory", f"{weights}, {peak / _GIB:.1f} GiB at most" if peak else weights)
    for name in ("guided", "decode"):
        if (own := _number(found, f"{name}_temporary_bytes")) is not None:
            yield _row(f"  {name}", f"{own / _GIB:.1f} GiB between arguments and results")
    busiest = found.get("busiest")
    if why := _failed(busiest):
        yield _row("busiest kernels", f"no trace: {why}")
    elif busiest:
        yield _row("busiest kernels of one step", "  share        ms  calls")
        for own in busiest:
            numbers = f"{own['share']:7.1%}{own['ms']:10.3f}{own['calls']:7}"
            yield f"     {own['kernel'][:60]:<60} {numbers}"


def _pytorch(found: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    if "absent" in found:
        yield _row("PyTorch", found["absent"])
        return
    engine = parts.get("engine", {})
    same = engine.get("images") == found.get("images")
    engine_ms = _number(engine, "step_ms") if same else None
    if "model" in found:
        model = f"{found['model']} on torch {found['version']}, cuDNN {found['cudnn']}"
        yield _row("model", f"{model}, bfloat16, channels last")
    if engine_ms is not None:
        yield _row("engine", f"{engine_ms:9.2f} ms a guided step")
    for key, label in (
        ("eager_ms", "PyTorch, eager"),
        ("compiled_ms", "PyTorch, torch.compile"),
        ("autotuned_ms", "PyTorch, max-autotune"),
    ):
        if why := _failed(found.get(key)):
            yield _row(label, f"FAILED: {why}")
        elif (own_ms := _number(found, key)) is not None:
            text = f"{own_ms:9.2f} ms"
            if engine_ms is not None:
                text += f"; the engine takes {engine_ms / own_ms:.2f} of it"
            yield _row(label, text)
    if why := _failed(found.get("pieces")):
        yield _row("pieces", f"FAILED: {why}")


def _pieces(found: Mapping[str, Any], parts: Mapping[str, Any]) -> Iterator[str]:
    torch = parts.get("pytorch", {}).get("pieces", {})
    for piece, ways in found.get("pieces", {}).items():
        texts = [
            f"{way} {own:.3f}" if not _failed(own) else f"{way} no" for way, own in ways.items()
        ]
        if (own := _number(torch, piece)) is not None:
            texts.append(f"PyTorch {own:.3f}")
        yield _row(piece, ", ".join(texts))
        for way, own in ways.items():
            if why := _failed(own):
                yield _row(f"  {way}", why)


_WRITERS: Final = {
    "machine": _machine,
    "doodle": _doodle,
    "engine": _engine,
    "pytorch": _pytorch,
    "pieces": _pieces,
}
