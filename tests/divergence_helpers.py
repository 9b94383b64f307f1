"""What the tests of divergences share: the divergence of weighted samples, slowly and from its definition."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def weighted_divergence(P: Floats, Q: Floats, w: Floats, v: Floats) -> float:
    """Return the divergence of weighted samples, from its definition."""

    def density(rows: Floats, weights: Floats) -> Floats:
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(np.einsum("n,nd,ne->de", weights / weights.sum(), unit, unit))

    def entropy(rho: Floats) -> float:
        return -sum(float(x) * math.log(x) for x in np.linalg.eigvalsh(rho) if x > 0)

    p, q = density(P, w), density(Q, v)
    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
