"""What ComfyUI writes under `prompt`: the graph that it ran, as JSON, node by node.

From the node that saves the picture the links are followed back: to the sampler that came last,
from there to its texts, its models, its size. Of nodes that nobody here knows the names are told.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from bot.core.recipe.draft import Draft, file_name, json_object, number, whole
from sdxl_engine.request import USUAL_EMPHASIS
from sdxl_engine.sentence import say

_MAX_NODES: Final = 5_000
_MAX_CHAIN: Final = 200  # nodes, from one end to the other
_MAX_HOPS: Final = 16  # from where a value stands to where it is meant
_MAX_INPUTS: Final = 200  # of one node
_MAX_TEXTS: Final = 20
_SAMPLING: Final = frozenset({"steps", "cfg", "sampler_name"})
# Nodes that hold what a sampler of several parts does not say itself.
_PARTS: Final = ("noise", "guider", "sampler", "sigmas", "seed", "cfg", "steps")
# Under which name a node passes a plain value on.
_VALUES: Final = ("value", "seed", "noise_seed", "int", "float", "number", "text", "string")
# Links that lead away from the picture: to models, texts and what steers.
_ASIDE: Final = frozenset(
    {
        *("model", "clip", "vae", "positive", "negative", "conditioning", "control_net", "mask"),
        *("upscale_model", "clip_vision", "guider", "noise", "sampler", "sigmas", "seed"),
    }
)
_PLAIN: Final = frozenset(
    {
        *("SaveImage", "PreviewImage", "SaveAnimatedWEBP", "VAEDecode", "VAEDecodeTiled"),
        *("EmptyLatentImage", "Reroute"),
    }
)
_SCHEDULERS: Final = {
    "KarrasScheduler": "karras",
    "ExponentialScheduler": "exponential",
    "AlignYourStepsScheduler": "ays",
    "BetaSamplingScheduler": "beta",
}
_LOADERS: Final = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name")

Node = Mapping[str, Any]  # its inputs


def read(texts: Mapping[str, str]) -> Draft | None:
    """The draft of it; None if there is none."""
    told = json_object(texts.get("prompt"))
    graph = None if told is None else _Graph(told)
    if graph is None or not graph.kinds:
        return None
    draft = Draft("ComfyUI")
    sampler = _last_sampler(graph, draft)
    if sampler is None:
        draft.leave(say("A graph without a sampler that is known here"), why="")
        return draft
    _read_sampler(graph, draft, sampler)
    return draft


class _Graph:
    """Nodes by their ids: what kind each is, and its inputs, values and links."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.kinds: dict[str, str] = {}
        self.inputs: dict[str, Node] = {}
        for name, node in told.items():
            if len(self.kinds) == _MAX_NODES:
                break
            kind = node.get("class_type") if isinstance(node, dict) else None
            inputs = node.get("inputs") if isinstance(node, dict) else None
            if isinstance(kind, str) and isinstance(inputs, dict):
                self.kinds[name] = kind
                self.inputs[name] = dict(islice(inputs.items(), _MAX_INPUTS))
        # By node: the names of its inputs that are links, and the nodes that they come from.
        self.links = {
            node: [
                (name, link[0]) for name in inputs if (link := self.link(node, name)) is not None
            ]
            for node, inputs in self.inputs.items()
        }

    def link(self, node: str, name: str) -> tuple[str, int] | None:
        """The node, and which of its outputs, that an input comes from."""
        value = self.inputs[node].get(name)
        if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a node and its output
            return None
        source, output = value
        source = str(source) if isinstance(source, int) and whole(source) is not None else source
        if not isinstance(source, str) or source not in self.kinds:
            return None
        return source, output if isinstance(output, int) else 0

    def value(self, node: str, name: str) -> object:
        """A plain value, also one that other nodes pass on; None where there is none."""
        for _ in range(_MAX_HOPS):
            link = self.link(node, name)
            if link is None:
                value = self.inputs[node].get(name)
                return value if isinstance(value, str | int | float) else None
            node = link[0]
            name = next((one for one in (name, *_VALUES) if one in self.inputs[node]), "")
        return None

    def chain(self, node: str, name: str) -> Iterator[str]:
        """The nodes that lie one behind the other along inputs of one name."""
        seen: set[str] = set()
        link = self.link(node, name)
        while link is not None and link[0] not in seen and len(seen) < _MAX_CHAIN:
            seen.add(link[0])
            yield link[0]
            link = self.link(link[0], name)

    def is_sampler(self, node: str) -> bool:
        """Whether it draws, and not over a whole picture that it gets."""
        inputs = self.inputs[node]
        draws = inputs.keys() >= _SAMPLING or self.kinds[node].startswith("SamplerCustom")
        return draws and "image" not in inputs

    def behind(self, start: str, came_from: dict[str, str]) -> Iterator[str]:
        """All nodes that the picture of one comes from, the nearest first, itself before all.

        came_from  gets the node that each is found from; what is in it is not looked at again
        """
        waiting = [start]
        for node in waiting:  # which grows meanwhile
            yield node
            for name, source in self.links[node]:
                if name not in _ASIDE and source not in came_from:
                    came_from[source] = node
                    waiting.append(source)


def _last_sampler(graph: _Graph, draft: Draft) -> str | None:
    """The sampler that is nearest to a picture which is saved, or else shown."""
    linked = {source for links in graph.links.values() for _, source in links}
    ends = [node for node in graph.kinds if node not in linked]
    ends.sort(key=lambda node: ("Save" not in graph.kinds[node], "Preview" in graph.kinds[node]))
    came_from: dict[str, str] = {}
    for end in ends:
        for node in graph.behind(end, came_from):
            if graph.is_sampler(node):
                passed = node
                while (passed := came_from.get(passed, end)) != end:
                    if graph.kinds[passed] not in _PLAIN:
                        draft.leave("Node", graph.kinds[passed])
                return node
    return next(filter(graph.is_sampler, reversed(graph.kinds)), None)


def _read_sampler(graph: _Graph, draft: Draft, sampler: str) -> None:
    # What its parts say, it says; of a part that is a plain value, `value` finds it.
    parts = [link[0] for name in _PARTS if (link := graph.link(sampler, name)) is not None]
    places = [sampler, *parts]

    def said(*names: str) -> object:
        found = (graph.value(place, name) for name in names for place in places)
        return next((value for value in found if value is not None), None)

    def leading(name: str) -> str | None:
        return next((place for place in places if graph.link(place, name) is not None), None)

    steps = said("steps")
    draft.whole("num_inference_steps", "Steps", steps)
    draft.number("guidance_scale", "CFG", said("cfg"))
    draft.seed(said("seed", "noise_seed"))
    _read_way(graph, draft, said("sampler_name"), said("scheduler"), places)
    denoise = number(said("denoise"))
    if denoise is not None and denoise < 1:
        draft.leave("Denoise", denoise, say("it went on from an earlier picture"))
    first, last = whole(said("start_at_step")), whole(said("end_at_step"))
    if first or (last is not None and last < (whole(steps) or 0)):
        draft.leave(
            say("Steps {first} to {last} alone", first=str(first), last=str(last)),
            why=say("all are drawn here"),
        )
    _read_model(graph, draft, leading("model") or sampler)
    positive = leading("positive") or leading("conditioning")
    texts = []
    if positive is not None:
        name = "positive" if graph.link(positive, "positive") else "conditioning"
        texts = _texts(graph, draft, positive, name)
    negative = leading("negative")
    unwanted = [] if negative is None else _texts(graph, draft, negative, "negative")
    draft.prompt = draft.tags(_joined(draft, texts))
    draft.negative = _joined(draft, unwanted) if unwanted else None
    if "(" in f"{draft.prompt}{draft.negative}":
        draft.keep(emphasis=USUAL_EMPHASIS)
    _read_latents(graph, draft, sampler)


def _read_way(
    graph: _Graph, draft: Draft, sampler: object, scheduler: object, places: Sequence[str]
) -> None:
    kinds = [graph.kinds[place] for place in places]
    if sampler is None:  # a node of its own for each, such as SamplerDPMPP_2M_SDE
        named = (kind.removeprefix("Sampler") for kind in kinds[1:] if kind.startswith("Sampler"))
        sampler = next(named, None)
    if scheduler is None:
        scheduler = next((_SCHEDULERS[kind] for kind in kinds if kind in _SCHEDULERS), None)
    if scheduler is None:
        for kind in kinds:
            if kind.endswith("Scheduler"):
                draft.leave("Node", kind)
    # As older versions call them, too.
    draft.sampler(sampler.removeprefix("sample_") if isinstance(sampler, str) else None)
    draft.spacing(scheduler)


def _read_model(graph: _Graph, draft: Draft, start: str) -> None:
    """The LoRAs and other changes on the way to the model, and its file."""
    for node in graph.chain(start, "model"):
        inputs = graph.inputs[node]
        several = [one for one in inputs.values() if isinstance(one, dict) and "lora" in one][
            :_MAX_TEXTS
        ]
        file = next((graph.value(node, name) for name in _LOADERS if name in inputs), None)
        if "lora_name" in inputs:
            _read_lora(graph, draft, node)
        elif several:
            for one in several:
                if one.get("on", True):
                    draft.lora(one["lora"], one.get("strength"))
        elif graph.kinds[node] == "RescaleCFG":
            draft.number("guidance_rescale", "RescaleCFG", graph.value(node, "multiplier"))
        elif file is None and graph.kinds[node] not in _PLAIN:
            draft.leave("Node", graph.kinds[node])
        draft.drawn_by(file)


def _read_lora(graph: _Graph, draft: Draft, node: str) -> None:
    name, strength = graph.value(node, "lora_name"), graph.value(node, "strength_model")
    draft.lora(name, strength)
    encoders = graph.value(node, "strength_clip")
    if encoders is not None and number(encoders) != number(strength):
        draft.leave(
            say("LoRA {name} in the text encoders", name=f"{file_name(str(name)):.40}"), encoders
        )


def _texts(graph: _Graph, draft: Draft, start: str, role: str) -> list[str]:
    """The texts that one input of a sampler comes from, in their order."""
    found: list[str] = []
    seen: set[tuple[str, int]] = set()
    waiting = [link] if (link := graph.link(start, role)) else []
    while waiting and len(seen) < _MAX_CHAIN and len(found) < _MAX_TEXTS:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        node, output = at
        kind, inputs = graph.kinds[node], graph.inputs[node]
        if kind == "ConditioningZeroOut":  # which leaves no text at all
            continue
        if "ControlNet" in kind or "IPAdapter" in kind:
            draft.leave("Node", kind)
        text = _text_of(graph, draft, node, role)
        if text is not None:
            found.append(text)
            _read_clip(graph, draft, node)
            continue
        if graph.link(node, "positive") and graph.link(node, "negative"):
            onward = ["negative" if output == 1 else "positive"]
        else:
            onward = [role, *(name for name in inputs if name.startswith("cond"))]
        links = [link for name in onward if (link := graph.link(node, name)) is not None]
        if not links:
            draft.leave("Node", kind)
        waiting += reversed(links)
    return found


def _text_of(graph: _Graph, draft: Draft, node: str, role: str) -> str | None:
    """What a node encodes, if it does; of two texts the larger encoder's."""
    texts = {
        name: text
        for name in ("text_g", "text_l", "text", "prompt", role)
        if isinstance(text := graph.value(node, name), str)
    }
    if texts.get("text_l", "") not in {"", texts.get("text_g", "")} and "text_g" in texts:
        draft.leave(say("A text of its own for the smaller text encoder"), texts["text_l"])
    return next(iter(texts.values()), None)


def _read_clip(graph: _Graph, draft: Draft, node: str) -> None:
    for place in graph.chain(node, "clip"):
        last = whole(graph.value(place, "stop_at_clip_layer"))
        if last is not None:
            draft.keep(clip_skip=-last)
            return


def _joined(draft: Draft, texts: Sequence[str]) -> str:
    if len(texts) > 1:
        draft.leave(
            say("The way in which {number} texts are combined", number=len(texts)),
            why=say("here one after another"),
        )
    return " BREAK ".join(texts)


def _read_latents(graph: _Graph, draft: Draft, sampler: str) -> None:
    """Where the sampler began: the size, and what was there before."""
    for node in graph.behind(sampler, {}):
        kind = graph.kinds[node]
        if node != sampler and graph.is_sampler(node):
            draft.leave(say("An earlier sampler"), kind, say("this is the last one"))
        elif kind.startswith("LoadImage"):
            draft.leave(say("A picture to start from"), why=say("not in the file"))
        elif kind == "LatentUpscaleBy":
            draft.leave(say("Latents upscaled by"), graph.value(node, "scale_by"))
        sides = graph.value(node, "width"), graph.value(node, "height")
        if not draft.has("width_px") and None not in map(whole, sides):
            draft.size(*sides)
