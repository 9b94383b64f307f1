"""The CLUB estimate of mutual information from a matrix of log-likelihoods (paper, Eq. 2)."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Negatives = Literal["off_diagonal", "all"] | NDArray[np.bool_]


def club_estimate(log_probs_N_N: ArrayLike, *, pairs: Negatives = "off_diagonal") -> float:
    """Return mean log p(y_i | x_i) minus the mean of log p(y_j | x_i) over the negatives.

    Args:
        log_probs_N_N: entry [i, j] is log p(y_j | x_i, r_i), in nats (a token or a response: the estimate has
            the same unit).
        pairs: which entries are negatives: "off_diagonal" (as the paper's code does), "all" N^2 of them (as
            Eq. 2 is printed), or a boolean N x N mask.

    Raises:
        ValueError: the matrix is not square, has fewer than two rows, is NaN or infinite on the diagonal or a
            negative, or there are no negatives. Other entries are not read.
    """
    matrix = np.asarray(log_probs_N_N, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] < 2:
        raise ValueError(f"log_probs_N_N must be square with at least two rows, not of shape {matrix.shape}")
    mask = negatives_mask(matrix.shape[0], pairs)
    unusable = ~np.isfinite(matrix) & (mask | np.eye(matrix.shape[0], dtype=bool))
    if unusable.any():
        row, column = np.argwhere(unusable)[0]
        raise ValueError(f"log_probs_N_N[{row}, {column}] is {matrix[row, column]}")
    return float(np.diagonal(matrix).mean() - matrix[mask].mean())


def negatives_mask(size: int, pairs: Negatives) -> NDArray[np.bool_]:
    """Return the boolean size x size mask of negatives; ValueError when it is empty or of another shape."""
    if isinstance(pairs, str):
        if pairs not in ("off_diagonal", "all"):
            raise ValueError(f"pairs is '{pairs}'; use 'off_diagonal', 'all' or a boolean mask")
        return np.ones((size, size), dtype=bool) if pairs == "all" else ~np.eye(size, dtype=bool)
    mask = np.asarray(pairs, dtype=bool)
    if mask.shape != (size, size) or not mask.any():
        raise ValueError(f"the mask of negatives has shape {mask.shape} and {mask.sum()} entries set")
    return mask
