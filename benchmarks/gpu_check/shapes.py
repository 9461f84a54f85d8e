"""The pieces of SDXL's UNet at 1024 x 1024 pixels in which its time goes."""

from typing import Final, NamedTuple

from benchmarks.gpu_check.setting import Setting

GEMM: Final = 8192  # the side of two square matrices: what the card can do at best
TEXT_TOKENS: Final = 77


class Attention(NamedTuple):
    """How many tokens attend to how many; of heads of `dim`."""

    name: str
    tokens: int
    key_tokens: int
    heads: int
    dim: int = 64


class Convolution(NamedTuple):
    """3x3, of as many channels before as after, over a square."""

    name: str
    channels: int
    side: int


class Feed(NamedTuple):
    """The wide half of a feed-forward."""

    name: str
    dim: int
    tokens: int


ATTENTIONS: Final = (
    Attention("attention 4096 tokens, 10 heads", 4096, 4096, 10),
    Attention("attention 1024 tokens, 20 heads", 1024, 1024, 20),
    Attention("text, 4096 tokens, 10 heads", 4096, TEXT_TOKENS, 10),
    Attention("text, 1024 tokens, 20 heads", 1024, TEXT_TOKENS, 20),
)
CONVOLUTIONS: Final = (
    Convolution("conv 320 channels, 128x128", 320, 128),
    Convolution("conv 640 channels, 64x64", 640, 64),
    Convolution("conv 1280 channels, 32x32", 1280, 32),
)
FEEDS: Final = (
    Feed("GEGLU 1280 wide, 1024 tokens", 1280, 1024),
    Feed("GEGLU 640 wide, 4096 tokens", 640, 4096),
)


class Shapes:
    """These in a setting: as they are, or shrunk for a dry run under the same names."""

    def __init__(self, setting: Setting) -> None:
        self.batch = 2 * setting.images  # with guidance
        self.calls = 20 if setting.shrink == 1 else 2  # in a row, so that launching is hidden
        self._shrink = setting.shrink

    gemm: Final = f"product {GEMM} x {GEMM} x {GEMM}"

    def shrunk(self, size: int) -> int:
        """A side, a number of tokens or channels."""
        return max(8, size // self._shrink)

    def tokens(self, attention: Attention) -> tuple[int, int, int]:
        """Of queries, keys and values."""
        keys = self.shrunk(attention.key_tokens)
        return self.shrunk(attention.tokens), keys, keys

    def convolution(self, convolution: Convolution) -> tuple[int, int]:
        """Channels and side."""
        return self.shrunk(convolution.channels), self.shrunk(convolution.side)

    def feed(self, feed: Feed) -> tuple[int, int]:
        """Width and tokens."""
        return self.shrunk(feed.dim), self.shrunk(feed.tokens)
