"""Representation Jensen-Shannon divergence of two samples of embeddings, in nats.

A sample is read as a density matrix: the covariance rho = phi^T phi / n of its L2-normalised rows, whose trace is one.
D = S((rho_P + rho_Q) / 2) - (S(rho_P) + S(rho_Q)) / 2 with the von Neumann entropy S(rho) = -tr(rho ln rho), as in the
code of Oh et al. (2025). It is 0 for equal samples and at most ln 2. It has no chain rule, and a finite sample of one
distribution is at a positive distance from another one: `scoring.divergence_estimate` measures that floor.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEGATIVE_EIGENVALUE = 1e-8
"""Eigenvalues below minus this are no rounding: the matrix is no Gram matrix."""


def representation_jsd(P_N_D: ArrayLike, Q_M_D: ArrayLike) -> float:
    """Return the divergence of two samples of embeddings in nats, 0 .. ln 2.

    Rows are L2-normalised here. The two samples have equal weight in the mixture also where N differs from M: the
    divergence is one of distributions, not of sample sizes. The eigenvalues are those of the D x D covariances or of
    the Gram matrix of the stacked rows, whichever is smaller; the non-zero ones are the same.

    Raises:
        ValueError: a sample is not a matrix with rows, the widths differ, or a row is zero, NaN or infinite.
    """
    p_N_D, q_M_D = unit_pair(P_N_D, Q_M_D)
    if p_N_D.shape[1] > len(p_N_D) + len(q_M_D):
        stacked = np.concatenate([p_N_D, q_M_D])
        return gram_jsd(stacked @ stacked.T, len(p_N_D))
    p_D_D, q_D_D = p_N_D.T @ p_N_D / len(p_N_D), q_M_D.T @ q_M_D / len(q_M_D)
    return _divergence((p_D_D + q_D_D) / 2, p_D_D, q_D_D)


def gram_jsd(K_NM_NM: ArrayLike, n: int) -> float:
    """Return the divergence of the first n samples from the others, in nats, given their kernel matrix.

    Args:
        K_NM_NM: inner products of unit vectors, those of the n samples of P before those of Q.
        n: number of samples of P.

    Raises:
        ValueError: the matrix is not square, symmetric and positive semidefinite with a unit diagonal, or P or Q
            would be empty.
    """
    kernel = np.asarray(K_NM_NM, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not 0 < n < len(kernel):
        raise ValueError(f"a kernel matrix of shape {kernel.shape} cannot be split after {n} samples")
    if not np.allclose(np.diagonal(kernel), 1.0, rtol=0.0, atol=1e-6) or not np.allclose(kernel, kernel.T):
        raise ValueError("the kernel matrix must be symmetric with ones on its diagonal: normalise the rows first")
    roots = np.sqrt(mixture_weights(n, len(kernel) - n))
    mixture = kernel * np.outer(roots, roots)
    return _divergence(mixture, 2 * mixture[:n, :n], 2 * mixture[n:, n:])


def unit_rows(rows_N_D: ArrayLike) -> NDArray[np.float64]:
    """Return the rows L2-normalised; ValueError for what is no matrix with rows, and for a row of no direction."""
    rows = np.asarray(rows_N_D, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] == 0:
        raise ValueError(f"embeddings must be a matrix with at least one row, not of shape {rows.shape}")
    norms_N_1 = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms_N_1) | (norms_N_1 == 0.0))
    if len(bad):
        raise ValueError(f"embedding {bad[0]} is zero or not finite; leave out what could not be embedded")
    return np.asarray(rows / norms_N_1)


def unit_pair(P_N_D: ArrayLike, Q_M_D: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both samples with L2-normalised rows; ValueError as `unit_rows`, and where the widths differ."""
    p_N_D, q_M_D = unit_rows(P_N_D), unit_rows(Q_M_D)
    if p_N_D.shape[1] != q_M_D.shape[1]:
        raise ValueError(f"embeddings of {p_N_D.shape[1]} and {q_M_D.shape[1]} dimensions cannot be compared")
    return p_N_D, q_M_D


def mixture_weights(n: int, m: int) -> NDArray[np.float64]:
    """Return the weights of n samples of P and m of Q in the mixture (P + Q) / 2: 1/(2n) and 1/(2m)."""
    return np.repeat([0.5 / n, 0.5 / m], [n, m])


def _divergence(mixture: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    divergence = _entropy(mixture) - (_entropy(first) + _entropy(second)) / 2
    return min(max(divergence, 0.0), math.log(2.0))  # rounding alone leaves the range


def _entropy(density: NDArray[np.float64]) -> float:
    """Return the von Neumann entropy of a symmetric matrix in nats, with 0 ln 0 = 0."""
    eigenvalues = np.linalg.eigvalsh(density)
    if eigenvalues[0] < -NEGATIVE_EIGENVALUE:
        raise ValueError(f"the matrix is not positive semidefinite: it has the eigenvalue {eigenvalues[0]:.3g}")
    positive = eigenvalues[eigenvalues > 0.0]
    return float(-(positive * np.log(positive)).sum())
