"""PyTorch by hand: CD-k and PCD-k without autograd, in place where it can be; fine-tuning and the up-pass with torch.nn.

One update is three fused products upwards and downwards and two accumulating outer products: nothing is computed twice.
"""

import torch
from torch import nn

import measure

VISIBLE, HIDDEN, BATCH = 784, 500, 100
STACK = [784, 500, 500, 2000]
CLASSES = 10


class Machine:
    """A Bernoulli machine with momentum."""

    def __init__(self, cases):
        mean = cases.mean(0).clamp(0.001, 0.999)
        self.weights = 0.01 * torch.randn(VISIBLE, HIDDEN)
        self.visible_bias = (mean / (1 - mean)).log()
        self.hidden_bias = torch.zeros(HIDDEN)
        self.parameters = [self.weights, self.visible_bias, self.hidden_bias]
        self.velocities = [torch.zeros_like(p) for p in self.parameters]
        self.chains = None

    def hidden_mean(self, v):
        return torch.addmm(self.hidden_bias, v, self.weights).sigmoid_()

    def visible_mean(self, h):
        return torch.addmm(self.visible_bias, h, self.weights.t()).sigmoid_()

    def update(self, v_pos, steps, persistent):
        h_pos = self.hidden_mean(v_pos)
        h = self.chains if persistent and self.chains is not None else torch.bernoulli(h_pos)
        for step in range(steps):
            v_neg = torch.bernoulli(self.visible_mean(h))
            h_neg = self.hidden_mean(v_neg)
            if persistent or step + 1 < steps:
                h = torch.bernoulli(h_neg)
        if persistent:
            self.chains = h
        rate = measure.LEARNING_RATE / len(v_pos)
        weights, visible, hidden = self.velocities
        weights.addmm_(v_pos.t(), h_pos, beta=measure.MOMENTUM, alpha=rate)
        weights.addmm_(v_neg.t(), h_neg, alpha=-rate)
        visible.mul_(measure.MOMENTUM).add_(v_pos.sum(0).sub_(v_neg.sum(0)), alpha=rate)
        hidden.mul_(measure.MOMENTUM).add_(h_pos.sum(0).sub_(h_neg.sum(0)), alpha=rate)
        for parameter, velocity in zip(self.parameters, self.velocities):
            parameter.add_(velocity)


def learning(batch, cases, steps, persistent, args):
    machine = Machine(cases)
    for _ in range(args.warm_updates):
        machine.update(batch(), 1, False)
    h = torch.bernoulli(machine.hidden_mean(batch()))
    weights = machine.weights

    def products():
        v = batch()
        v @ weights
        for _ in range(steps):
            h @ weights.t()
            v @ weights
        v.t() @ h
        v.t() @ h

    name = f"{'pcd' if persistent else 'cd'}-{steps} {VISIBLE}x{HIDDEN} b{BATCH}"
    return measure.row(name, BATCH, lambda: machine.update(batch(), steps, persistent), products, args.seconds)


def network(widths):
    layers = []
    for below, above in zip(widths, widths[1:]):
        layers += [nn.Linear(below, above), nn.Sigmoid()]
    return nn.Sequential(*layers)


def fine_tuning(batch, args):
    widths = STACK + [CLASSES]
    model = nn.Sequential(network(STACK), nn.Linear(STACK[-1], CLASSES))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    labels = torch.arange(BATCH) % CLASSES
    activities = [torch.rand(BATCH, width) for width in widths]
    weights = [torch.randn(below, above) for below, above in zip(widths, widths[1:])]

    def step():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(batch()), labels).backward()
        optimizer.step()

    def products():
        for i, w in enumerate(weights):
            activities[i] @ w
            activities[i].t() @ activities[i + 1]
            if i > 0:
                activities[i + 1] @ w.t()

    name = f"fine-tune {'x'.join(map(str, widths))} b{BATCH}"
    return measure.row(name, BATCH, step, products, args.seconds)


@torch.inference_mode()
def embedding(cases, args):
    size = 1000
    batch = measure.cycle(list(cases.split(size)))
    model = network(STACK)
    activities = [torch.rand(size, width) for width in STACK]
    weights = [torch.randn(below, above) for below, above in zip(STACK, STACK[1:])]

    def products():
        for activity, w in zip(activities, weights):
            activity @ w

    name = f"embed {'x'.join(map(str, STACK))} b{size}"
    return measure.row(name, size, lambda: model(batch()), products, args.seconds)


def main():
    args = measure.arguments(__doc__)
    torch.manual_seed(0)
    cases = torch.from_numpy(measure.mnist(args.data))
    batch = measure.cycle(list(cases.split(BATCH)))
    with torch.inference_mode():
        rows = [learning(batch, cases, *how, args) for how in [(1, False), (1, True), (10, True)]]
    rows += [fine_tuning(batch, args), embedding(cases, args)]
    measure.report("PyTorch by hand", torch.__version__, torch.get_num_threads(), rows)


if __name__ == "__main__":
    main()
