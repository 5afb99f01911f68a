"""scikit-learn's BernoulliRBM, whose stochastic maximum likelihood is PCD-1.

`partial_fit` is its update by mini-batches and brings everything to float64; `fit` keeps float32 and is measured over a
whole pass through the cases. Both are printed, each beside the products of its own precision.
"""

import numpy as np
import sklearn
import threadpoolctl
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

import measure

SHAPES = [(784, 500, 100), (64, 100, 10), (784, 16, 10)]


def machine(hidden, size):
    return BernoulliRBM(n_components=hidden, learning_rate=measure.LEARNING_RATE, batch_size=size, n_iter=1, random_state=0)


def products(batch, hidden, dtype):
    """The five products of a PCD-1 update, each with a fresh result."""
    rng = np.random.default_rng(2)
    visible = batch().shape[1]
    weights = rng.normal(0, 0.01, (hidden, visible)).astype(dtype)
    h = (rng.random((len(batch()), hidden)) < 0.3).astype(dtype)

    def work():
        v = batch()
        v @ weights.T
        h @ weights
        v @ weights.T
        h.T @ v
        h.T @ v

    return work


def partial_fit(cases, hidden, size, args):
    visible = cases.shape[1]
    batch = measure.cycle(measure.batches(cases.astype(np.float64), size))
    rbm = machine(hidden, size)
    for _ in range(args.warm_updates):
        rbm.partial_fit(batch())
    name = f"pcd-1 {visible}x{hidden} b{size}"
    return measure.row(name, size, lambda: rbm.partial_fit(batch()), products(batch, hidden, np.float64), args.seconds)


def fit(cases, hidden, size, args):
    visible = cases.shape[1]
    batch = measure.cycle(measure.batches(cases, size))
    count = len(cases) // size
    rbm = machine(hidden, size)
    once = products(batch, hidden, np.float32)

    def many():
        for _ in range(count):
            once()

    name = f"pcd-1 {visible}x{hidden} b{size}"
    whole = cases[: count * size]
    return measure.row(name, size, lambda: rbm.fit(whole), many, args.seconds, per_step=count)


def main():
    args = measure.arguments(__doc__)
    pictures = measure.mnist(args.data)
    digits = (load_digits().data / 16 > 0.5).astype(np.float32)
    threads = max((pool["num_threads"] for pool in threadpoolctl.threadpool_info()), default=1)
    for peer, way in [("scikit-learn fit (f32)", fit), ("scikit-learn partial_fit (f64)", partial_fit)]:
        rows = [way(digits if v == 64 else pictures, h, b, args) for v, h, b in SHAPES]
        measure.report(peer, sklearn.__version__, threads, rows)


if __name__ == "__main__":
    main()
