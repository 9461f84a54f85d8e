"""What the prompts of a request say, in which steps, as their encoders read it."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from sdxl_engine.prompt import at_steps
from sdxl_engine.request import ImageRequest
from sdxl_engine.tokenizer import Chunks, PromptTokenizer

_TEXTS: Final = 2  # the negative prompt, then the prompt


@dataclass(frozen=True, slots=True)
class Span:
    """What both prompts say up to a step, the negative prompt first.

    end        the step before which it ends
    token_ids  i32[2 prompts, 2 encoders, chunks, tokens]
    weights    f32[2 prompts, 2 encoders, chunks, tokens]
    """

    end: int
    token_ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def of_tokens(cls, token_ids: npt.NDArray[np.int32], num_inference_steps: int) -> Self:
        """Of token ids alone, i32[2 prompts, 2 encoders, tokens], in all steps."""
        ids = token_ids[:, :, None]
        return cls(num_inference_steps, ids, np.ones(ids.shape, np.float32))

    @property
    def chunks(self) -> int:
        """How many chunks either prompt has."""
        chunks: int = self.token_ids.shape[2]
        return chunks

    def texts(
        self, empty: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Token ids and weights as `Prompts` has them.

        empty  i32[2 encoders, tokens] of a text without words
        """
        encoders, tokens = empty.shape
        token_ids = self.token_ids.swapaxes(0, 1).reshape(encoders, -1, tokens)
        weights = self.weights.swapaxes(0, 1).reshape(encoders, -1, tokens)
        return np.concatenate([token_ids, empty[:, None]], axis=1), weights

    @property
    def key(self) -> bytes:
        """Equal where the prompts say the same."""
        return self.token_ids.tobytes() + self.weights.tobytes()


def read_spans(tokenizer: PromptTokenizer, request: ImageRequest, limit: int) -> tuple[Span, ...]:
    """What a request's prompts say in the steps that it takes, one span after the other.

    The shorter of two prompts goes on with empty chunks, as A1111 has it.

    limit  the most chunks of a prompt

    Raises InvalidRequestError for a prompt that is longer, or weighs more than a picture stands.
    """
    total, texts = request.num_inference_steps, (request.negative_prompt or "", request.prompt)
    ways = [at_steps(text, total) for text in texts]
    read: dict[str, Chunks] = {}
    spans = []
    for end in sorted({end for way in ways for end, _ in way}):
        said = [next(text for own, text in way if own >= end) for way in ways]
        for text in said:
            if text not in read:
                read[text] = tokenizer.chunks(text, limit)
        if end > request.steps.start or end == total:
            spans.append(_span(end, [read[text] for text in said], tokenizer.empty()))
    return tuple(spans)


def _span(end: int, both: list[Chunks], empty: npt.NDArray[np.int32]) -> Span:
    most = max(one.token_ids.shape[1] for one in both)
    shape = (_TEXTS, len(empty), most, empty.shape[-1])
    token_ids = np.broadcast_to(empty[None, :, None], shape).copy()
    weights = np.ones(shape, np.float32)
    for place, one in enumerate(both):
        own = one.token_ids.shape[1]
        token_ids[place, :, :own], weights[place, :, :own] = one.token_ids, one.weights
    return Span(end, token_ids, weights)
