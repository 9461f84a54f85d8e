"""Portraits, drawn by the programs of their landscapes.

Where a picture and every kernel are transposed, so is what a convolution makes of them; and nothing
else in the networks tells down from across. So a portrait goes in lying and comes out upright, and
while it is drawn there is a second copy of the kernels, of SDXL's UNet 0.67 GB in bfloat16. Nothing
is to be undone when something else is drawn, and no step takes longer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax

from sdxl_engine.models.layers import KernelLayout, transposed_kernel

Images = TypeVar("Images")


def transposed(images: Images) -> Images:
    """Arrays [..., height, width, channels] with height and width exchanged.

    images  a pytree of them; numbers, of one axis at most, may be among them and stay
    """
    turned: Images = jax.tree.map(
        lambda leaf: leaf.swapaxes(-3, -2) if leaf.ndim > 1 else leaf, images
    )
    return turned


def transposed_kernels(layout: KernelLayout, kernels: Sequence[jax.Array]) -> list[jax.Array]:
    """Those of `spatial`, each for transposed pictures."""
    return [transposed_kernel(kernel, layout) for kernel in kernels]


def spatial(weights: Any, layout: KernelLayout) -> tuple[int, ...]:  # noqa: ANN401 - a pytree
    """The places, among the leaves of a network's weights, of kernels with height and width."""
    return tuple(
        place
        for place, leaf in enumerate(jax.tree.leaves(weights))
        # Nothing but a convolution has as many axes.
        if leaf.ndim >= len(layout) and leaf.shape[layout.index("H") - len(layout)] > 1
    )


@dataclass(frozen=True, slots=True)
class ForTransposed:
    """Makes of a network's weights those for transposed pictures: a copy of some, and the others.

    places      of its `spatial` kernels
    executable  of `transposed_kernels`
    """

    places: tuple[int, ...]
    executable: Callable[..., Any]

    def __call__(self, weights: Any) -> Any:  # noqa: ANN401 - a pytree
        """The weights, where nothing but the kernels is copied."""
        leaves, structure = jax.tree.flatten(weights)
        kernels = self.executable([leaves[place] for place in self.places])
        for place, kernel in zip(self.places, kernels, strict=True):
            leaves[place] = kernel
        return jax.tree.unflatten(structure, leaves)


@dataclass(frozen=True, slots=True)
class Upright:
    """A landscape's executable as one of its portrait.

    lying      (weights for transposed pictures, *images, *others) -> images, and numbers perhaps
    images     how many there are among its arguments
    lay_down, stand_up
               the executables of `transposed` for these and for what it returns
    """

    lying: Callable[..., Any]
    images: int
    lay_down: Callable[..., Any]
    stand_up: Callable[..., Any]

    def __call__(self, weights: Any, *arguments: Any) -> Any:  # noqa: ANN401, D102 - as the executable's
        images, others = arguments[: self.images], arguments[self.images :]
        return self.stand_up(self.lying(weights, *self.lay_down(images), *others))

    def parts(self) -> dict[str, Any]:
        """All that it calls."""
        return {"lying": self.lying, "in": self.lay_down, "out": self.stand_up}
