"""The mutual-information estimator of the original EMID: CLUB with a Gaussian q(y | x) on embeddings.

Two networks give the mean and the log-variance of y at x. As in the code of Oh et al. (2025), whose negatives are all
N^2 pairs, the log-variance ends in a tanh: every variance lies between 1/e and e. Coordinates of L2-normalised
embeddings vary far less: on them q stays wider than the data, and CLUB is near e/2 times a gap of squared distances
rather than a mutual information. Cheng et al. (2020) train on fresh draws at every step; on finite data that many steps
overfit, so here a tenth of the rows is held out and tells when to stop.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from benchmark.errors import RunFailure

CHECK_EVERY = 20  # steps between two looks at the held-out rows
Weights = list[Tensor]
"""Of a network with one hidden layer of H: shapes (D, H), (H,), (H, E), (E,)."""


@dataclass(frozen=True)
class GaussianClubSettings:
    """How q(y | x) is made and trained; all values are positive."""

    hidden_width: int = 250
    """Of each network's one hidden layer: half of the 500 that the code of Oh et al. (2025) sets."""
    learning_rate: float = 0.005
    """Of Adam, as in the simulations of Cheng et al. (2020)."""
    batch_size: int = 64
    """Rows a step, as in those simulations; all rows where there are fewer."""
    steps: int = 4000
    """At most this many steps; those simulations take as many."""
    patience: int = 200
    """Steps without a better loss on the held-out rows before training stops (our choice)."""

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is not positive."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; it must be positive")


@dataclass(frozen=True)
class GaussianClub:
    """A trained q(y | x) with a diagonal Gaussian density; made by `train_gaussian_club`."""

    mean: Weights
    log_variance: Weights

    def moments(self, x_N_D: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and variance of y at each x, of shapes (N, E); ValueError unless x is finite and D wide."""
        x = torch.from_numpy(_matrix("x_N_D", x_N_D, len(self.mean[0]))).float()
        return _output(self.mean, x).double().numpy(), _output(self.log_variance, x).tanh().double().exp().numpy()

    def log_densities(self, x_N_D: ArrayLike, y_M_E: ArrayLike) -> NDArray[np.float64]:
        """Return the matrix [i, j] = log q(y_j | x_i) in nats, constants included, for `scoring.club.club_estimate`.

        ValueError: x or y is not a finite matrix with rows, or has another width than the networks were trained on.
        """
        y = _matrix("y_M_E", y_M_E, len(self.mean[-1]))
        moments = zip(*self.moments(x_N_D), strict=True)
        return np.stack([-0.5 * ((y - mean) ** 2 / var + np.log(2 * np.pi * var)).sum(axis=1) for mean, var in moments])


def train_gaussian_club(x_N_D: ArrayLike, y_N_E: ArrayLike, settings: GaussianClubSettings, seed: int) -> GaussianClub:
    """Return q(y | x) fitted to pairs by maximum likelihood (Cheng et al., 2020, section 3.2), on the CPU in float32.

    Row i of x (embeddings of inputs) belongs to row i of y (embeddings of golden responses). A tenth of the rows, at
    least one, only decides which step's weights are kept. torch's global random state is neither read nor changed.

    Raises:
        ValueError: x or y is not a finite matrix, their row counts differ, or there are fewer than three rows.
        RunFailure: training diverged: the loss is no finite number.
    """
    x, y = _matrix("x_N_D", x_N_D), _matrix("y_N_E", y_N_E)
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"x_N_D has {len(x)} rows, y_N_E {len(y)}; both need the same number, 3 or more")
    generator = torch.Generator().manual_seed(seed)
    order_N, held_out = torch.randperm(len(x), generator=generator), max(1, len(x) // 10)
    x_rows, y_rows = torch.from_numpy(x).float()[order_N], torch.from_numpy(y).float()[order_N]
    weights = [w for _ in range(2) for w in _initial(x.shape[1], settings.hidden_width, y.shape[1], generator)]
    optimizer = torch.optim.Adam(weights, settings.learning_rate)
    best, best_loss, best_step = weights, float("inf"), 0
    for step in range(1, settings.steps + 1):
        batch = held_out + torch.randperm(len(x) - held_out, generator=generator)[: settings.batch_size]
        optimizer.zero_grad()
        _loss(weights, x_rows[batch], y_rows[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % CHECK_EVERY and step != settings.steps:
            continue
        loss = _loss(weights, x_rows[:held_out], y_rows[:held_out]).item()
        if not np.isfinite(loss):
            raise RunFailure(f"the Gaussian CLUB network diverged: its loss is {loss} after {step} steps")
        if loss < best_loss:
            best, best_loss, best_step = [w.detach().clone() for w in weights], loss, step
        elif step - best_step >= settings.patience:
            break
    return GaussianClub(best[:4], best[4:])


def _initial(inputs: int, hidden: int, outputs: int, generator: torch.Generator) -> Weights:
    """Return torch's usual initial weights: uniform within 1 / sqrt(number of the layer's inputs)."""
    shapes = ((inputs, hidden), inputs), ((hidden,), inputs), ((hidden, outputs), hidden), ((outputs,), hidden)
    return [((2 * torch.rand(s, generator=generator) - 1) / n**0.5).requires_grad_() for s, n in shapes]


def _output(weights: Weights, x_N_D: Tensor) -> Tensor:
    inner_D_H, inner_H, outer_H_E, outer_E = weights
    return (x_N_D @ inner_D_H + inner_H).tanh() @ outer_H_E + outer_E


def _loss(weights: Weights, x_N_D: Tensor, y_N_E: Tensor) -> Tensor:
    """Return the mean of -log q(y_i | x_i) in nats, without the constant; the mean's weights stand first."""
    log_variance_N_E = _output(weights[4:], x_N_D).tanh()
    squared_N_E = (y_N_E - _output(weights[:4], x_N_D)) ** 2 * (-log_variance_N_E).exp()
    return 0.5 * (squared_N_E + log_variance_N_E).sum(dim=1).mean()


def _matrix(name: str, values: ArrayLike, width: int | None = None) -> NDArray[np.float64]:
    """Return the values as a finite float64 matrix with at least one row, of the given width if there is one."""
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape or not np.isfinite(matrix).all():
        raise ValueError(f"{name} must be a finite matrix with rows and columns; its shape is {matrix.shape}")
    if width is not None and matrix.shape[1] != width:
        raise ValueError(f"{name} has {matrix.shape[1]} columns; the network was trained on {width}")
    return matrix
