"""Ridge and logistic regressions, one by one and many at once.

scikit-learn's optimiser casts all features to float64 at each product; at 20,000 windows of
5,120 features these are 0.8 GB a copy. Here the products are float32, the parameters float64.
Legend: N windows, D features, R coordinates, K classes or outputs, P problems.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh, solve
from scipy.linalg.lapack import dposv, dpstrf
from scipy.optimize import minimize
from scipy.special import expit, softmax

from rtbrain.types import Doubles, Floats, Ints, Mask

_MOST_ITERATIONS = 1000
_MOST_NEWTON = 5e6  # products of a Hessian, above which L-BFGS is faster
_NOISE = 1e-6  # of the largest eigenvalue: below it, float32 products hold nothing


def principal_axes(z: Floats) -> tuple[Floats, Floats]:
    """Windows [N, D] as coordinates [N, R] along orthonormal axes [D, R], float32.

    The coordinates are orthogonal to each other over the windows.
    """
    wide = z.shape[1] > z.shape[0]
    values, vectors = eigh((z @ z.T if wide else z.T @ z).astype(np.float64))
    kept = values > _NOISE * values[-1]
    lengths: Floats = np.sqrt(values[kept]).astype(np.float32)
    axes: Floats = vectors[:, kept].astype(np.float32)
    return (axes * lengths, z.T @ (axes / lengths)) if wide else (z @ axes, axes)


def row_coordinates(z: Floats) -> Floats:
    """Windows as coordinates in an orthonormal basis of the space that they span.

    A penalty on the length of the weights keeps them within that space, so that nothing is lost
    where there are more features than windows; it holds for any part of the windows too. It pays
    where many readouts are fitted on the same windows.

    References
    ----------
    Hastie & Tibshirani 2004, Efficient quadratic regularization for expression arrays,
    doi:10.1093/biostatistics/kxh010.
    """
    if z.shape[1] <= z.shape[0]:
        return z
    products = (z @ z.T).astype(np.float64)
    # A pivoted Cholesky decomposition: a tenth of the time of an eigendecomposition.
    factor, order, rank, _ = dpstrf(products, lower=1, tol=_NOISE * products.diagonal().max())
    coordinates = np.empty((len(z), rank), np.float32)
    coordinates[order - 1] = np.tril(factor)[:, :rank]
    return coordinates if rank else z  # all windows are alike


@dataclass(frozen=True, slots=True, eq=False)
class RidgePath:
    """Ridge regressions of the same windows for any penalty, by one eigendecomposition.

    They minimise ``|Y - Z W - b|² + penalty |W|²``, b unpenalised.
    """

    axes: Floats  # float32 [D, R]
    squares: Doubles  # float64 [R]: sum over the windows of each squared coordinate
    products: Doubles  # float64 [R, K]: with the targets
    z_mean: Floats  # float32 [D]
    mean: Doubles  # float64 [K], of the targets
    scale: float  # mean squared length of the windows, a unit for penalties

    @classmethod
    def of(cls, z: Floats, targets: npt.NDArray[Any]) -> "RidgePath":
        """Path of windows [N, D] and their targets [N, K]."""
        centred, z_mean, y, mean = _centred(z, targets)
        coordinates, axes = principal_axes(centred)
        squares = np.square(coordinates, dtype=np.float64).sum(axis=0)
        return cls(axes, squares, coordinates.T @ y, z_mean, mean, _scale(centred))

    def predict(self, z: Floats, penalty: float) -> Doubles:
        """Predictions float64 [N, K] for a penalty."""
        weights = self.products / (self.squares + penalty)[:, np.newaxis]
        values: Doubles = ((z - self.z_mean) @ self.axes) @ weights + self.mean
        return values


def fit_ridge(
    z: Floats,
    targets: npt.NDArray[Any],
    share: float,
    *,
    weights: Doubles | None = None,
    penalty: float | None = None,
) -> tuple[Doubles, Doubles, float]:
    """Weights [K, D] and biases [K] of a ridge regression, and its penalty: a share of the scale.

    Or the `penalty` that is given; `weights` [N] are those of the windows. Solved in the smaller of
    the two spaces, of the features or of the windows.
    """
    centred, z_mean, y, mean = _centred(z, targets, weights)
    penalty = share * _scale(centred) if penalty is None else penalty
    if weights is not None:
        root = np.sqrt(weights)[:, np.newaxis]
        centred, y = (centred * root).astype(np.float32), y * root
    wide = z.shape[1] > z.shape[0]
    gram = (centred @ centred.T if wide else centred.T @ centred).astype(np.float64)
    gram.flat[:: len(gram) + 1] += penalty
    found = solve(gram, y if wide else centred.T @ y, assume_a="pos", overwrite_a=True)
    weight: Doubles = (centred.T @ found if wide else found).T
    return weight, mean - weight @ z_mean, penalty


def _centred(
    z: Floats, targets: npt.NDArray[Any], weights: Doubles | None = None
) -> tuple[Floats, Floats, Doubles, Doubles]:
    if weights is None:
        z_mean = z.mean(axis=0, dtype=np.float64).astype(np.float32)
        mean = targets.mean(axis=0, dtype=np.float64)
    else:
        z_mean = np.average(z, axis=0, weights=weights).astype(np.float32)
        mean = np.average(targets.astype(np.float64), axis=0, weights=weights)
    return z - z_mean, z_mean, targets - mean, mean


def _scale(centred: Floats) -> float:
    """Trace of the products between the windows over their number; 1 where all are alike."""
    return float(np.einsum("nd,nd->", centred, centred, dtype=np.float64)) / len(centred) or 1.0


def balanced_weights(targets: Ints, n_classes: int, weights: Doubles | None = None) -> Doubles:
    """Weight of each window so that every class weighs the same, with mean 1.

    Or, where windows have `weights` already, with the sum of these.
    """
    own = np.ones(targets.size) if weights is None else weights
    sums = np.bincount(targets, own, minlength=n_classes)
    balanced: Doubles = own * own.sum() / (np.count_nonzero(sums) * sums[targets])
    return balanced


def fit_softmax(
    z: Floats,
    targets: Ints,
    *,
    n_classes: int,
    c: float,
    tolerance: float,
    start: Doubles | None = None,
    weights: Doubles | None = None,
) -> Doubles:
    """Weights [K, D + 1] of a multinomial logistic regression with balanced classes.

    Minimises ``sum_n w_n CE_n + |W|^2 / (2 C)``, of two classes and few features by Newton's steps,
    else by L-BFGS; of two classes the penalty is that of the one logit between them, so that C
    means what it means in scikit-learn. `start` are weights to begin with, as those of a stronger
    penalty; `weights` [N] those of the windows before classes are balanced.
    """
    N, D = z.shape
    share = balanced_weights(targets, n_classes, weights)
    total = N if weights is None else float(share.sum())
    share, penalty = share / total, 1 / (c * total)
    if n_classes == 2 and N * D**2 <= _MOST_NEWTON:
        first = np.zeros(D + 1) if start is None else start[1] - start[0]
        logit = _newton(z, targets == 1, share, penalty, tolerance, first)
        return np.stack((-logit / 2, logit / 2))
    # Of two classes the weights are opposite: a product with one vector takes a third of the time.
    free = np.array([[-0.5], [0.5]]) if n_classes == 2 else np.eye(n_classes)  # [K, fitted]
    at = targets, np.arange(N)

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        found = flat.reshape(-1, D + 1)
        weight, gradient = found[:, :D], np.empty_like(found)
        scores = free @ (weight.astype(np.float32) @ z.T + found[:, D:])  # [K, N]
        scores -= scores.max(axis=0)
        wrong = np.exp(scores)
        total = wrong.sum(axis=0)
        value = share @ (np.log(total) - scores[at]) + penalty / 2 * np.vdot(weight, weight)
        wrong /= total
        wrong[at] -= 1
        wrong *= share
        wrong = free.T @ wrong
        gradient[:, :D] = wrong.astype(np.float32) @ z
        gradient[:, :D] += penalty * weight
        gradient[:, D] = wrong.sum(axis=1)
        return float(value), gradient.ravel()

    first = np.zeros((n_classes, D + 1)) if start is None else start
    found = minimize(
        loss,
        (np.linalg.pinv(free) @ first).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MOST_ITERATIONS, "gtol": tolerance, "ftol": 1e-12},
    )
    fitted: Doubles = free @ found.x.reshape(-1, D + 1)
    return fitted


def _newton(
    z: Floats, inside: Mask, share: Doubles, penalty: float, tolerance: float, logit: Doubles
) -> Doubles:
    """Weights [D + 1] of the logit of one class, by Newton's steps, halved where one goes too far.

    `penalty` is on the squared weights, halved, `tolerance` on the gradient.
    """
    x = np.concatenate((z, np.ones((len(z), 1), np.float32)), axis=1).astype(np.float64)
    ridge = np.append(np.full(z.shape[1], penalty), 1e-12)
    sign = np.where(inside, -1.0, 1.0)

    def loss(logit: Doubles) -> tuple[float, Doubles]:
        wrong = sign * (x @ logit)
        return float(share @ np.logaddexp(0, wrong) + ridge @ logit**2 / 2), wrong

    value, wrong = loss(logit)
    for _ in range(_MOST_ITERATIONS):
        p_wrong = expit(wrong)
        gradient = (share * sign * p_wrong) @ x + ridge * logit
        if np.abs(gradient).max() <= tolerance:
            break
        hessian = (x.T * (share * p_wrong * (1 - p_wrong))) @ x
        hessian.flat[:: len(hessian) + 1] += ridge
        _, step, _ = dposv(hessian, gradient)
        length = 1.0
        while length > 1e-9:
            found, wrong_there = loss(logit - length * step)
            if found <= value - 1e-4 * length * (gradient @ step):
                break
            length /= 2
        else:
            break  # rounding leaves nothing to gain
        logit, value, wrong = logit - length * step, found, wrong_there
    return logit


def fit_softmaxes(
    z: Floats, targets: Ints, *, n_classes: int, c: Doubles, tolerance: float = 1e-5
) -> Doubles:
    """`fit_softmax` of the same windows for P targets [P, N] and C [P]: float64 [P, K, D + 1].

    All problems share each product. Accelerated gradient steps with restarts, along the windows'
    principal axes, where a bound on the curvature is diagonal.

    References
    ----------
    Böhning 1992, Multinomial logistic regression algorithm, doi:10.1007/BF00048682 (the bound).
    O'Donoghue & Candès 2015, Adaptive restart, doi:10.1007/s10208-013-9150-3.
    """
    coordinates, axes = principal_axes(z)
    x = np.concatenate((coordinates, np.ones((len(z), 1), np.float32)), axis=1)  # [N, R + 1]
    N, P, K = len(z), len(targets), n_classes
    share = np.array([balanced_weights(one, K) / N for one in targets]).reshape(P, N)
    two = K == 2  # their weights are opposite: one vector, the logit between them
    penalty = np.repeat(1 / (c[:, np.newaxis] * N), x.shape[1], axis=1)
    penalty[:, -1] = 0.0
    # x' diag(share) x / 2 bounds the curvature, of two classes / 4, and max(share) times its sums
    # of squares nearly bounds that: the bias alone is not orthogonal to the rest.
    largest = share.max(axis=1, keepdims=True)
    squares = largest * np.square(x, dtype=np.float64).sum(axis=0)  # [P, R + 1]
    squares[:, -1] = 1.0
    oblique = share @ x[:, :-1] / np.sqrt(squares[:, :-1])
    bound = 1 + np.sqrt(np.square(oblique).sum(axis=1, keepdims=True))
    bound = bound / (4 if two else 2) * squares + penalty
    numbers = np.arange(two, K)[:, np.newaxis, np.newaxis]
    truth = (targets == numbers).astype(np.float32)  # [fitted, P, N]
    weight = share.astype(np.float32)
    done = np.zeros((len(truth), P, x.shape[1]))
    at, found, ahead, momentum = np.arange(P), done, done, np.ones((P, 1))
    for _ in range(_MOST_ITERATIONS):
        scores = (ahead.astype(np.float32).reshape(-1, x.shape[1]) @ x.T).reshape(truth.shape)
        wrong = expit(scores) if two else softmax(scores, axis=0)
        wrong -= truth
        wrong *= weight
        gradient = (wrong.reshape(-1, N) @ x).reshape(ahead.shape) + penalty * ahead
        done[:, at] = ahead
        open_ = np.abs(gradient).max(axis=(0, 2)) > tolerance
        if not open_.any():
            break
        last, found = found, ahead - gradient / bound
        step = found - last
        momentum[np.einsum("kpr,kpr->p", gradient, step) > 0] = 1.0
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = found + (momentum - 1) / faster * step
        momentum = faster
        if np.count_nonzero(open_) < 0.8 * at.size:  # the others are left as they are
            at, momentum, bound, penalty = at[open_], momentum[open_], bound[open_], penalty[open_]
            found, ahead, truth = found[:, open_], ahead[:, open_], truth[:, open_]
            weight = weight[open_]
    weights = np.empty((P, len(done), z.shape[1] + 1))
    weights[..., :-1] = np.moveaxis(done[..., :-1], 0, 1) @ axes.T
    weights[..., -1] = done[..., -1].T
    return np.concatenate((-weights / 2, weights / 2), axis=1) if two else weights
