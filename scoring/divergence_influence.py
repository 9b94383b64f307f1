"""First-order influence of each sample on the representation divergence, for a bootstrap without eigenvalues.

With rho = sum_i w_i phi_i phi_i^T and dS = -tr(d rho ln rho), a change dw of P's weights that sums to zero changes the
divergence by sum_i dw_i * phi_i^T (ln rho_P - ln rho_mixture) phi_i / 2. Reweighting leaves the span of the samples as
it is, so logarithms are needed on the support alone. With the thin SVD sqrt(w_i) phi_i = sum_k U_ik sigma_k v_k the
form phi_i^T ln rho phi_i is sum_k U_ik^2 sigma_k^2 ln sigma_k^2 / w_i, to which a direction without samples adds
nothing: no eigenvalue has to be called zero.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scoring.divergence import mixture_weights, unit_pair


def jsd_influence(P_N_D: ArrayLike, Q_M_D: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the influences of the N samples of P and the M of Q on `representation_jsd`, in nats; each has mean zero.

    Under weights w of P and v of Q, each summing to one, the divergence is
    D + sum_i (w_i - 1/N) influence_P_i + sum_j (v_j - 1/M) influence_Q_j up to second order.
    The second order is what makes the divergences of resamples too large (copies of a sample lower the entropies), so
    a bootstrap of this first order has the spread without that bias.

    Raises:
        ValueError: as `representation_jsd`.
    """
    p_N_D, q_M_D = unit_pair(P_N_D, Q_M_D)
    n, m = len(p_N_D), len(q_M_D)
    mixture = _log_forms(np.concatenate([p_N_D, q_M_D]), mixture_weights(n, m))
    influence_N = (_log_forms(p_N_D, np.full(n, 1 / n)) - mixture[:n]) / 2
    influence_M = (_log_forms(q_M_D, np.full(m, 1 / m)) - mixture[n:]) / 2
    return influence_N - influence_N.mean(), influence_M - influence_M.mean()


def _log_forms(rows_N_D: NDArray[np.float64], weights_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return phi_i^T ln(rho) phi_i for each row, where rho = sum_i w_i phi_i phi_i^T."""
    left_N_K, singular_K, _ = np.linalg.svd(rows_N_D * np.sqrt(weights_N)[:, None], full_matrices=False)
    eigenvalues_K = singular_K**2
    logs_K = np.log(eigenvalues_K, out=np.zeros_like(eigenvalues_K), where=eigenvalues_K > 0.0)
    return np.asarray((left_N_K**2 @ (eigenvalues_K * logs_K)) / weights_N)
