"""What an adapter must know of a kind of transformer."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from oasis.adapters.attention import Heads
from oasis.grid import Grid


@runtime_checkable
class Family(Protocol):
    """Where a kind of transformer has its self-attention, and what its forward reads.

    `vae` and `encoder`: the classes that make its latents and its prompt. `padding_is_zero`: whether what the text encoder says
    of padding is hidden from it and replaced by zeros.
    """

    vae: str
    encoder: str
    padding_is_zero: bool

    def layers(self, transformer: nn.Module) -> dict[str, Any]:
        """Return the self-attention modules by name; their order numbers the layers."""

    def heads(self, config: Any) -> int:
        """Return the heads of every layer."""

    def processor(self, layer: int, heads: Heads) -> Callable[..., Any]:
        """Return the processor of a layer."""

    def grid(self, transformer: Any, shape: Sequence[int]) -> Grid:
        """Return the video tokens of a forward, given the shape of its hidden_states."""

    def patch(self, config: Any) -> tuple[int, int, int]:
        """Return the patch, (frames, rows, columns) of latents."""

    def text(self, config: Any) -> int:
        """Return how many text tokens are in the self-attention."""

    def prompt_shape(self, config: Any) -> tuple[int, int]:
        """Return (tokens, width) of a prompt's embedding."""

    def strides(self, config: Any) -> tuple[int, int]:
        """Return how many frames and pixels a latent of the VAE stands for."""

    def check(self, config: Any, vae: Any) -> None:
        """Raise ValueError where the transformer needs more than a clip's latents."""

    def check_timestep(self, timestep: float, steps: int) -> None:
        """Raise ValueError if a schedule of `steps` training steps has no such timestep."""

    def encode(self, vae: Any, clip: Float[Tensor, "1 3 t h w"]) -> Float[Tensor, "1 c f y x"]:
        """Return the most likely latents, normalised as the transformer reads them."""

    def noised(
        self, latents: Float[Tensor, "1 c f y x"], noise: Float[Tensor, "1 c f y x"], timestep: float, scheduler: Any
    ) -> Float[Tensor, "1 c f y x"]:
        """Return latents at a timestep of the scheduler, given by its configuration; ValueError for other kinds."""

    def arguments(
        self,
        transformer: Any,
        vae: Any,
        clip: Float[Tensor, "1 3 t h w"],
        latents: Float[Tensor, "1 c f y x"],
        prompt: Float[Tensor, "1 l e"],
        timestep: float,
    ) -> dict[str, Any]:
        """Return the arguments of a forward."""
