"""Long prompts and weighted words, by the rules of A1111 and ComfyUI on PyTorch's text encoders.

    .oracle/bin/python tests/oracle/prompts.py

writes tests/goldens/prompts anew. diffusers reads one chunk and no weights, so the rules are
written out here, as short as they can be; `tests/goldens/README.md` says what they were held to.

chunks         (A1111, modules/sd_hijack_clip.py) each piece of one weight is tokenised by itself.
               A chunk holds as many tokens as the encoder reads between begin and end. A full one
               that another token would follow is cut after its last comma, if that is among its
               last 20 tokens; BREAK ends it where it is. After the end token it is padded. The
               states of all chunks are joined; pooled is the first chunk's, whatever the weights.
mean           (A1111, modules/sd_emphasis.py, Original) an encoder's states of a chunk are
               multiplied by their tokens' weights, then all by what brings their mean back.
interpolation  (ComfyUI, comfy/sd1_clip.py) a state goes from that of the empty prompt at its
               place, as far as its weight says.

The states are SDXL's: the last layer but one, no final norm, both encoders side by side.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch
from diffusers import StableDiffusionXLPipeline
from record import Arrays, difference, save_copies
from safetensors.torch import save_file
from tiny_models import GOLDENS, TINY_A, TINY_B, Tiny, load

FOLDER: Final = GOLDENS / "prompts"
EMPHASES: Final = ("mean", "interpolation")
COMMA_WITHIN: Final = 20  # A1111's own setting, comma_padding_backtrack
_NONE: Final = -COMMA_WITHIN  # too far off for any chunk
_CHAOTIC: Final = 2e-5
_SHOWS: Final = 1e-3  # the engine is held to 1e-4

BREAK: Final = None
Piece = tuple[str, float] | None
Tokens = list[tuple[int, float]]

# A text, the pieces it is read as, and at least how many chunks it takes: the other prompt's.
Prompt = tuple[str, Sequence[Piece], int]
SHORT: Final[tuple[Prompt, ...]] = (
    ("a red circle, blue background", [("a red circle, blue background", 1)], 1),
    (
        "a (red:1.3) circle on a [blue] background",
        [
            ("a ", 1),
            ("red", 1.3),
            (" circle on a ", 1),
            ("blue", 1 / 1.1),
            (" background", 1),
        ],
        1,
    ),
    (
        "((red)) a (tree:0.5 (under [a blue:1.5] circle",
        [
            ("red", 1.1 * 1.1),
            (" a ", 1),
            ("tree:0.5 ", 1.1),
            ("under ", 1.1 * 1.1),
            ("a blue:1.5", 1.1 * 1.1 / 1.1),
            (" circle", 1.1 * 1.1),
        ],
        1,
    ),
    (r"a \(red\) (circle \[2\]:1.2)", [("a (red) ", 1), ("circle [2]", 1.2)], 1),
    (
        "(red:0) circle, (blue:-1) tree",
        [("red", 0), (" circle, ", 1), ("blue", -1), (" tree", 1)],
        1,
    ),
    (
        "a red circle BREAK (a tree:1.4)\nBREAK blue background",
        [("a red circle", 1), BREAK, ("a tree", 1.4), BREAK, ("blue background", 1)],
        1,
    ),
    ("a blurry tree", [("a blurry tree", 1)], 3),
    ("", [("", 1)], 2),
)


def long_prompts(places: int) -> Iterator[Prompt]:
    """Those whose length is a matter of how many tokens a chunk has room for.

    Every word of them is one token to both tokenizers of both models.
    """
    full = "red " * places
    yield full, [(full, 1)], 1
    # The comma is the first that finds no room; it begins a chunk that is cut nowhere else.
    twice = f"{full}, {'blue ' * (places + 3)}"
    yield twice, [(twice, 1)], 1
    # What follows the comma goes with it, and keeps its weight.
    near = places - 6
    yield (
        f"{'red ' * near}, a (circle under a tree:1.3) on the background",
        [("red " * near + ", a ", 1), ("circle under a tree", 1.3), (" on the background", 1)],
        1,
    )
    # This comma is too far off where a chunk is long.
    far = places - 30
    if far > 0:
        text = f"{'red ' * far}, {'blue ' * 40}"
        yield text, [(text, 1)], 1
    side = (places * 2) - 4
    yield (
        f"(a {'tree ' * side}:1.25), {'blue ' * side}",
        [(f"a {'tree ' * side}", 1.25), (f", {'blue ' * side}", 1)],
        4,
    )


def chunks(tokenizer: Any, pieces: Sequence[Piece], places: int) -> list[Tokens]:
    """Ids and weights, without begin, end and padding."""
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    done: list[Tokens] = []
    chunk: Tokens = []
    last_comma = _NONE

    def end(kept: Tokens, rest: Tokens) -> None:
        nonlocal chunk, last_comma
        done.append(kept)
        chunk, last_comma = rest, _NONE

    for piece in pieces:
        if piece is None:
            end(chunk, [])
            continue
        text, weight = piece
        for token in tokenizer(text, add_special_tokens=False, truncation=False).input_ids:
            if token == comma:
                last_comma = len(chunk)
            elif len(chunk) == places and places - last_comma <= COMMA_WITHIN:
                end(chunk[: last_comma + 1], chunk[last_comma + 1 :])
            if len(chunk) == places:
                end(chunk, [])
            chunk.append((token, float(weight)))
    if chunk or not done:
        end(chunk, [])
    return done


def framed(tokenizer: Any, chunk: Tokens, length: int) -> tuple[list[int], list[float]]:
    """Ids and weights of a whole row: begin, the chunk, end, padding."""
    ids = [tokenizer.bos_token_id, *(token for token, _ in chunk), tokenizer.eos_token_id]
    weights = [1.0, *(weight for _, weight in chunk)]
    return (
        ids + [tokenizer.pad_token_id] * (length - len(ids)),
        weights + [1.0] * (length - len(weights)),
    )


def read(
    pipeline: StableDiffusionXLPipeline, pieces: Sequence[Piece], least: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids i64[2, chunks, length], weights f32 of that shape; what is shorter gets empty chunks."""
    tokenizers = (pipeline.tokenizer, pipeline.tokenizer_2)
    length = pipeline.tokenizer.model_max_length
    both = [chunks(tokenizer, pieces, length - 2) for tokenizer in tokenizers]
    count = max(least, *map(len, both))
    rows = [
        [framed(tokenizer, chunk, length) for chunk in [*own, *([[]] * (count - len(own)))]]
        for tokenizer, own in zip(tokenizers, both, strict=True)
    ]
    ids, weights = (torch.tensor([[row[k] for row in own] for own in rows]) for k in (0, 1))
    return ids, weights


def restored(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted, with the mean of all that is given brought back."""
    weighted = states * weights[..., None]
    return weighted * (states.mean() / weighted.mean())


@torch.no_grad()
def embed(pipeline: StableDiffusionXLPipeline, ids: torch.Tensor, weights: torch.Tensor) -> Arrays:
    """What both rules make of a prompt, and what would be made of it without weights."""
    weights = weights.to(pipeline.unet.dtype)
    found: dict[str, list[torch.Tensor]] = {}
    for encoder, own_ids, own_weights, tokenizer in zip(
        (pipeline.text_encoder, pipeline.text_encoder_2),
        ids,
        weights,
        (pipeline.tokenizer, pipeline.tokenizer_2),
        strict=True,
    ):
        empty = torch.tensor([framed(tokenizer, [], ids.shape[-1])[0]])
        out = encoder(own_ids, output_hidden_states=True)
        states = out.hidden_states[-2]
        origin = encoder(empty, output_hidden_states=True).hidden_states[-2]
        by_chunk = [restored(*each) for each in zip(states, own_weights, strict=True)]
        for name, value in (
            ("plain", states),
            ("mean", torch.stack(by_chunk)),
            ("interpolation", torch.lerp(origin, states, own_weights[..., None])),
            ("of all chunks", restored(states, own_weights)),
        ):
            found.setdefault(name, []).append(value.flatten(0, 1))
    arrays = {name: torch.cat(states, dim=-1) for name, states in found.items()}
    return arrays | {"pooled": out.text_embeds[0]}


def write(tiny: Tiny) -> None:
    """The goldens of one model; stops where they would prove nothing."""
    pipeline, exact = load(tiny), load(tiny, torch.float64)
    prompts = [*SHORT, *long_prompts(tiny.max_length - 2)]
    goldens: Arrays = {}
    shown: dict[str, float] = {}
    print(f"\n{tiny.name}")
    for place, (_, pieces, least) in enumerate(prompts):
        ids, weights = read(pipeline, pieces, least)
        arrays = embed(pipeline, ids, weights)
        true = embed(exact, ids, weights)
        rounding = {name: difference(arrays[name], true[name]) for name in arrays}
        moved = {name: difference(arrays[name], arrays["plain"]) for name in EMPHASES}
        moved["chunk by chunk"] = difference(arrays["of all chunks"], arrays["mean"])
        shown = {name: max(by, shown.get(name, 0.0)) for name, by in moved.items()}
        print(
            f"  {place:2}: {ids.shape[1]} chunks, float32 off by {max(rounding.values()):.1e},",
            ", ".join(f"{name} {by:.1e}" for name, by in moved.items()),
        )
        if max(rounding.values()) > _CHAOTIC:
            raise SystemExit(f"goldens not written: prompt {place} is chaotic")
        goldens |= {
            f"{place}.token_ids": ids.int(),
            f"{place}.weights": weights,
            **{f"{place}.{name}": arrays[name] for name in (*EMPHASES, "pooled")},
        }
    if min(shown.values()) < _SHOWS:
        raise SystemExit("goldens not written: what a rule does hardly shows")
    save_file(save_copies(goldens), FOLDER / f"{tiny.name}.safetensors")
    facts = [{"text": text, "chunks": least} for text, _, least in prompts]
    text = json.dumps(facts, indent=2) + "\n"
    (FOLDER / f"{tiny.name}.json").write_text(text, encoding="utf-8")


def write_prompts() -> None:
    """Those of both tiny models."""
    FOLDER.mkdir(exist_ok=True)
    for tiny in (TINY_A, TINY_B):
        write(tiny)


if __name__ == "__main__":
    torch.set_num_threads(1)  # one order of summation, however many cores there are
    write_prompts()
