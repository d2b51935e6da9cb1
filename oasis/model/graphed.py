"""Steps as CUDA graphs: launched once for each shape, then replayed, so that the processor has nothing left to do.

Everything that the first call of a shape finds is captured with it: weights, routing, attention backend, dense kernels. The
same kernels then run on other numbers.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from oasis.kept import holding
from oasis.model.oasis import Oasis
from oasis.model.wan_decoder import State, WanDecoder
from oasis.sections import unheard

WARM_UP = 3
"""Calls before the capture: libraries take workspaces and choose kernels, tables are made, on a stream of their own."""
Tree: TypeAlias = Any
"""A tensor, None, or a tuple of such; named ones, too."""


def capture(model: Oasis) -> Oasis:
    """Let `model` replay the step from LQ clip to latents, and the Wan decoder's steps, and return it.

    Afterwards it stays on its device, in its dtype, with its routing; `release` frees the memory. For inference. ValueError
    on other devices than CUDA.
    """
    _need_cuda(model.prompt)
    model.graphed = Graphs(model.latents)
    if isinstance(model.vae, WanDecoder):
        capture_steps(model.vae)
    return model


def capture_steps(decoder: WanDecoder) -> None:
    """Let a decoder replay its steps; it then decodes one clip at a time, because the state is that of the graph.

    ValueError on other devices than CUDA.
    """
    _need_cuda(decoder.post_quant_conv.weight)
    setattr(decoder, "step", Graphs(in_place(decoder.step)))  # noqa: B010 (a method, to mypy)


def release(model: Oasis) -> None:
    """Free the memory of all graphs of a model; its next steps are captured again."""
    for step in (model.graphed, getattr(model.vae, "step", None)):
        if isinstance(step, Graphs):
            step.captured.clear()


def in_place(
    step: Callable[[Tensor, State], tuple[Tensor, State]],
) -> Callable[[Tensor, State], tuple[Float[Tensor, "b 3 4 y x"], State]]:
    """Return a decoder's step that writes the state after it over the state before it."""

    def call(latent: Float[Tensor, "b c h w"], state: State) -> tuple[Float[Tensor, "b 3 4 y x"], State]:
        pixels, after = step(latent, state)
        for old, new in zip(leaves(state), leaves(after), strict=True):
            old.copy_(new)
        return pixels, state

    return call


class Graphs:
    """A function of tensors that is captured at its first call with each shape and dtype, and then replayed."""

    def __init__(self, function: Callable[..., Tree]) -> None:
        self.function = function
        self.captured: dict[tuple[tuple[torch.Size, torch.dtype], ...], Graph] = {}

    @torch.no_grad()
    def __call__(self, *inputs: Tree) -> Tree:
        """Return what the function would return."""
        key = tuple((leaf.shape, leaf.dtype) for leaf in leaves(inputs))
        if key not in self.captured:
            # One pool for all shapes: they never run at once, and of a replay nothing is read after the next one.
            pool = next((graph.pool for graph in self.captured.values()), None)
            self.captured[key] = Graph(self.function, inputs, pool)
        return self.captured[key](*inputs)


class Graph:
    """A function of tensors of one shape: where its inputs are read from, and where its output is written to."""

    def __init__(self, function: Callable[..., Tree], inputs: tuple[Tree, ...], pool: Any) -> None:
        self.inputs = mapped(torch.clone, inputs)
        self.owned = {id(leaf) for leaf in leaves(self.inputs)}
        with holding() as self.held:
            self.replay, self.output, self.pool = record(lambda: function(*self.inputs), leaves(inputs)[0].device, pool)

    def __call__(self, *inputs: Tree) -> Tree:
        """Replay. What the function only changes in place is returned as it is, all else as a copy."""
        for own, given in zip(leaves(self.inputs), leaves(inputs), strict=True):
            if own is not given:
                own.copy_(given)
        self.replay()
        return mapped(lambda leaf: leaf if id(leaf) in self.owned else leaf.clone(), self.output)


def record(function: Callable[[], Tree], device: torch.device, pool: Any) -> tuple[Callable[[], None], Tree, Any]:
    """Capture a call on CUDA; return a function that repeats it, its output, and the memory pool that it lives in.

    ValueError where something in it cannot be captured; out of memory stays torch's own error.
    """
    with torch.cuda.device(device), unheard():
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                function()
        here.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=pool):
                output = function()
        except RuntimeError as error:
            _raise_out_of_memory(error)
            reason = str(error).partition("\n")[0]
            raise ValueError(f"this step cannot be captured in a CUDA graph ({reason}); leave graphs out") from error
        return graph.replay, output, graph.pool()


def leaves(tree: Tree) -> list[Tensor]:
    """Return the tensors of a tree in their order."""
    if isinstance(tree, Tensor):
        return [tree]
    return [] if tree is None else [leaf for branch in tree for leaf in leaves(branch)]


def mapped(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """Return a tree of the same form with every tensor replaced."""
    if tree is None or isinstance(tree, Tensor):
        return None if tree is None else function(tree)
    branches = [mapped(function, branch) for branch in tree]
    return tree._make(branches) if hasattr(tree, "_make") else tuple(branches)


def _need_cuda(weight: Tensor) -> None:
    if not weight.is_cuda:
        raise ValueError(f"CUDA graphs need a CUDA device, and this model is on {weight.device}; leave them out there")


def _raise_out_of_memory(error: BaseException) -> None:
    """Raise the out-of-memory error that ended a capture: ending it fails, too, and hides what came first."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, torch.OutOfMemoryError):
            raise cause
        cause = cause.__context__
