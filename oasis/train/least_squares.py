"""Linear least squares over more rows than fit into memory."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class Fit(NamedTuple):
    """The affine map outputs = inputs @ weight + bias, float64, and the share of each output's variance that it explains.

    `explained` is R^2 over the rows of the fit; 0 for an output that does not vary.
    """

    weight: Float[Tensor, "i o"]
    bias: Float[Tensor, "o"]
    explained: Float[Tensor, "o"]


class NormalEquations:
    """Sums over rows of inputs and outputs, in float64."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.gram = torch.zeros(inputs + 1, inputs + 1, dtype=torch.float64)
        self.cross = torch.zeros(inputs + 1, outputs, dtype=torch.float64)
        self.squares = torch.zeros(outputs, dtype=torch.float64)

    def add(self, inputs: Float[Tensor, "n i"], outputs: Float[Tensor, "n o"]) -> None:
        """Add rows; a constant 1 beside the inputs stands for the bias."""
        rows, outputs = F.pad(inputs.double(), (0, 1), value=1.0), outputs.double()
        self.gram += rows.T @ rows
        self.cross += rows.T @ outputs
        self.squares += outputs.square().sum(dim=0)

    def solve(self, ridge: float) -> Fit:
        """Return the fit with a penalty of `ridge` times the mean square of the inputs on the weights, not on the bias.

        ValueError without rows, or if the equations have no unique solution.
        """
        rows = float(self.gram[-1, -1])
        if rows == 0:
            raise ValueError("there are no samples to fit a linear map to")
        penalty = ridge * self.gram[:-1, :-1].diagonal().mean()
        gram = self.gram.clone()
        gram[:-1, :-1] += penalty * torch.eye(len(gram) - 1, dtype=torch.float64)
        solution, info = torch.linalg.solve_ex(gram, self.cross)
        if int(info) or not bool(torch.isfinite(solution).all()):
            raise ValueError(f"{rows:.0f} samples of {len(gram) - 1} inputs do not determine a linear map with ridge {ridge:g}")
        left = self.squares - 2 * (solution * self.cross).sum(dim=0) + (solution * (self.gram @ solution)).sum(dim=0)
        spread = self.squares - self.cross[-1].square() / rows
        explained = torch.where(spread > 0, 1 - left / spread, 0.0)
        return Fit(solution[:-1], solution[-1], explained)
