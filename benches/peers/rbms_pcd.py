"""The PyTorch library `rbms`: its PCD update and the optimiser of its training loop, with its defaults (centred gradient,
brought to norm one); without the files that its command line writes after every update.
"""

import importlib.metadata

import numpy as np
import torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.potts_bernoulli.classes import PBRBM
from rbms.training.pcd import fit_batch_pcd

import measure

VISIBLE, HIDDEN, BATCH = 784, 500, 100
SITES, STATES, HIDDEN_OF_SITES = 53, 21, 100


class Cases:
    """What `rbms` wants to know of a data set to start a machine."""

    def __init__(self, data):
        self.data = data


def sequences():
    """Sequences of a family of eight, a letter in three changed: (CASES, SITES), the number of each letter."""
    random = np.random.default_rng(1)
    ancestors = random.integers(STATES, size=(8, SITES))[random.integers(8, size=measure.CASES)]
    changed = random.random((measure.CASES, SITES)) < 0.3
    return np.where(changed, random.integers(STATES, size=changed.shape), ancestors).astype(np.float32)


@torch.no_grad()
def learning(machine, cases, hidden, steps, args):
    """`machine` is a class of `rbms`; cases of Potts units are numbers of states."""
    batch = measure.cycle(list(cases.split(BATCH)))
    rbm = machine.init_parameters(hidden, Cases(cases), torch.device("cpu"), torch.float32)
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
    h, is_potts = chains["hidden"], machine is PBRBM
    weights = rbm.weight_matrix.reshape(-1, hidden)

    def one_hot(v):
        return torch.nn.functional.one_hot(v.long(), STATES).reshape(len(v), -1).float()

    def products():
        v = ready()
        v @ weights
        for _ in range(steps):
            h @ weights.t()
            v @ weights
        v.t() @ h
        v.t() @ h

    # One-hot before the clock starts, as they lie in the others' memory.
    ready = measure.cycle([one_hot(v) if is_potts else v for v in cases.split(BATCH)])
    shape = f"potts {len(weights) // STATES}x{STATES}-{hidden}" if is_potts else f"{len(weights)}x{hidden}"
    name = f"pcd-{steps} {shape} b{BATCH}"
    return measure.row(name, BATCH, lambda: update(steps), products, args.seconds)


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    cases = torch.from_numpy(measure.mnist(args.data))
    rows = [learning(BBRBM, cases, HIDDEN, steps, args) for steps in (1, 10)]
    rows.append(learning(PBRBM, torch.from_numpy(sequences()), HIDDEN_OF_SITES, 1, args))
    measure.report("rbms", importlib.metadata.version("rbms"), torch.get_num_threads(), rows)


if __name__ == "__main__":
    main()
