"""The PyTorch library `rbms`: its PCD update and the optimiser of its training loop, with its defaults (centred gradient,
brought to norm one); without the files that its command line writes after every update.
"""

import importlib.metadata

import torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.training.pcd import fit_batch_pcd

import measure

VISIBLE, HIDDEN, BATCH = 784, 500, 100


class Cases:
    """What `rbms` wants to know of a data set to start a machine."""

    def __init__(self, data):
        self.data = data


@torch.no_grad()
def learning(cases, steps, args):
    batch = measure.cycle(list(cases.split(BATCH)))
    rbm = BBRBM.init_parameters(HIDDEN, Cases(cases), torch.device("cpu"), torch.float32)
    rbm.init_grad()
    optimizer = torch.optim.SGD(rbm.parameters(), lr=measure.LEARNING_RATE, maximize=True)
    chains = rbm.init_chains(BATCH)
    ones = torch.ones(BATCH)

    def update(k):
        nonlocal chains
        optimizer.zero_grad(set_to_none=False)
        chains, _ = fit_batch_pcd((batch(), ones), chains, rbm, k, beta=1.0)
        optimizer.step()

    for _ in range(args.warm_updates):
        update(1)
    weights, h = rbm.weight_matrix, chains["hidden"]

    def products():
        v = batch()
        v @ weights
        for _ in range(steps):
            h @ weights.t()
            v @ weights
        v.t() @ h
        v.t() @ h

    name = f"pcd-{steps} {VISIBLE}x{HIDDEN} b{BATCH}"
    return measure.row(name, BATCH, lambda: update(steps), products, args.seconds)


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    cases = torch.from_numpy(measure.mnist(args.data))
    rows = [learning(cases, steps, args) for steps in (1, 10)]
    measure.report("rbms", importlib.metadata.version("rbms"), torch.get_num_threads(), rows)


if __name__ == "__main__":
    main()
