"""General machines beside other programs: `dbn bench --model` and `dbn anneal`, D-Wave's neal, peapods, thrml and adabmDCA.

    python benches/peers/machines.py

Everything is run --repeats times in turn; the tables hold medians. A peer that is not installed is left out, and named.
Versions: pip install -r benches/peers/machines.txt
"""

import argparse
import importlib.metadata
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MASK = (1 << 64) - 1
# Spins, reads and the lowest energy of `pmj:16x16:seed=1`, by going through all rows of the lattice.
SIDE, READS, OPTIMUM = 16, 200, -342
SWEEPS = [30, 100, 300, 1000]


def word(seed, k):
    """Word k of splitmix64."""
    z = (seed + (k + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def plus_minus(side, seed):
    """The couplings of `pmj:SIDExSIDE:seed=SEED` as a dictionary for E = -sum J s s'."""
    couplings = {}
    for unit in range(side * side):
        row, column = divmod(unit, side)
        for number, there, other in [(2 * unit, column + 1 < side, unit + 1), (2 * unit + 1, row + 1 < side, unit + side)]:
            if there:
                couplings[unit, other] = 1.0 if word(seed, number) >> 63 else -1.0
    return couplings


def solution_time(seconds, hits, reads):
    """Seconds until one read has hit with a probability of 99 %, reads one after the other."""
    if hits == 0:
        return math.inf
    p = hits / reads
    return seconds / reads * (1.0 if p >= 0.99 else math.log(0.01) / math.log(1 - p))


def ours(args, threads):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))

    def run(*command):
        done = subprocess.run([args.dbn, *command], env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    name = f"candle-dbn, {threads} threads"
    for row in run("bench", "--model", "--json", "--seconds", str(args.seconds))["rows"]:
        yield row["name"], name, row["flips_per_ns"]
    glass = f"pmj:{SIDE}x{SIDE}:seed=1"
    for sweeps in SWEEPS:
        found = run("anneal", glass, "--target", str(OPTIMUM), "--sweeps", str(sweeps), "--reads", str(5 * READS), "--device", "cpu", "--json")
        yield "solution", f"{name}, {sweeps} sweeps", solution_time(found["seconds"], found["hits"], found["reads"])


def neal(args):
    from dwave.samplers import SimulatedAnnealingSampler

    def run(side, sweeps, reads):
        couplings = {pair: -j for pair, j in plus_minus(side, 1).items()}
        start = time.perf_counter()
        found = SimulatedAnnealingSampler().sample_ising({}, couplings, num_reads=reads, num_sweeps=sweeps, seed=1)
        return found.record.energy, time.perf_counter() - start

    name = "neal (dwave-samplers), 1 thread"
    _, seconds = run(32, 1000, 64)
    yield "pmj-32-anneal", name, 32 * 32 * 1000 * 64 / seconds / 1e9
    # A glass in which all are coupled: its speed does not depend on what the couplings are.
    spins, sweeps, reads, rough = 1000, 100, 4, random.Random(1)
    couplings = {(i, j): rough.gauss(0.0, spins**-0.5) for i in range(spins) for j in range(i + 1, spins)}
    start = time.perf_counter()
    SimulatedAnnealingSampler().sample_ising({}, couplings, num_reads=reads, num_sweeps=sweeps, seed=1)
    yield "sk-1000", name, spins * sweeps * reads / (time.perf_counter() - start) / 1e9
    for sweeps in SWEEPS:
        energies, seconds = run(SIDE, sweeps, READS)
        yield "solution", f"{name}, {sweeps} sweeps", solution_time(seconds, sum(energies <= OPTIMUM + 1e-6), READS)


def peapods(args):
    """With its observables, which it always takes."""
    import numpy as np
    from peapods import Ising

    side, replicas, sweeps = 256, 64, 20
    ising = Ising((side, side), temperatures=np.array([1 / 0.44]), n_replicas=replicas)
    start = time.perf_counter()
    ising.sample(sweeps, sweep_mode="gibbs", warmup_ratio=0.0)
    yield "ising-256", "peapods", side * side * replicas * sweeps / (time.perf_counter() - start) / 1e9


def thrml(args):
    """One chain in two colours, compiled before it is measured."""
    import jax
    import jax.numpy as jnp
    from thrml import Block, SamplingSchedule, SpinNode, sample_states
    from thrml.models import IsingEBM, IsingSamplingProgram, hinton_init

    side, sweeps = 256, 50
    nodes = [SpinNode() for _ in range(side * side)]
    at = lambda row, column: nodes[row % side * side + column % side]
    sites = [(row, column) for row in range(side) for column in range(side)]
    edges = [edge for r, c in sites for edge in [(at(r, c), at(r, c + 1)), (at(r, c), at(r + 1, c))]]
    model = IsingEBM(nodes, edges, jnp.zeros(len(nodes)), jnp.ones(len(edges)), jnp.array(0.44))
    blocks = [Block([at(r, c) for r, c in sites if (r + c) % 2 == colour]) for colour in (0, 1)]
    program = IsingSamplingProgram(model, blocks, clamped_blocks=[])
    start = hinton_init(jax.random.key(0), model, blocks, ())
    schedule = SamplingSchedule(n_warmup=sweeps, n_samples=1, steps_per_sample=1)
    run = jax.jit(lambda key: sample_states(key, program, schedule, start, [], [Block(nodes)]))
    jax.block_until_ready(run(jax.random.key(1)))
    began = time.perf_counter()
    jax.block_until_ready(run(jax.random.key(2)))
    yield "ising-256", "thrml on the CPU, 1 chain", side * side * sweeps / (time.perf_counter() - began) / 1e9


def adabm(args):
    import torch
    from adabmDCA.sampling import gibbs_sampling

    sites, states, chains = 136, 5, 2000
    torch.manual_seed(0)
    rough = torch.randn(sites, states, sites, states)
    couplings = (rough + rough.permute(2, 3, 0, 1)) * 0.5 / (sites * states) ** 0.5
    couplings[range(sites), :, range(sites), :] = 0.0
    params = {"bias": torch.zeros(sites, states), "coupling_matrix": couplings}
    x = torch.nn.functional.one_hot(torch.randint(states, (chains, sites)), states).float()
    x = gibbs_sampling(x, params, 1)
    start, sweeps = time.perf_counter(), 5
    gibbs_sampling(x, params, sweeps)
    yield "potts-rf00379", "adabmDCA (PyTorch)", sites * chains * sweeps / (time.perf_counter() - start) / 1e9


PEERS = {"dwave-samplers": neal, "peapods": peapods, "thrml": thrml, "adabmDCA": adabm}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dbn", default=ROOT / "target/release/dbn", type=pathlib.Path, help="the program [default: target/release/dbn]")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds for each row of ours [default: 1]")
    parser.add_argument("--repeats", type=int, default=3, help="how often to run everything [default: 3]")
    args = parser.parse_args()
    versions, found = [], {}
    for repeat in range(args.repeats):
        print(f"run {repeat + 1} of {args.repeats}, load {os.getloadavg()[0]:.2f}", file=sys.stderr)
        everything = [*ours(args, os.cpu_count()), *ours(args, 1)]
        for package, peer in PEERS.items():
            try:
                version = f"{package} {importlib.metadata.version(package)}"
            except importlib.metadata.PackageNotFoundError:
                version = f"{package} not installed"
            if version not in versions:
                versions.append(version)
            if not version.endswith("not installed"):
                everything += peer(args)
        for row, program, value in everything:
            found.setdefault((row, program), []).append(value)
    print(", ".join(versions))
    print("\n| row | program | flips/ns |\n| --- | --- | ---: |")
    for (row, program), values in sorted(found.items()):
        if row != "solution":
            print(f"| {row} | {program} | {statistics.median(values):.3g} |")
    print(f"\n| ±J {SIDE}×{SIDE}, seed 1, until {OPTIMUM} is found (99 %) | ms |\n| --- | ---: |")
    for (row, program), values in sorted(found.items()):
        if row == "solution":
            print(f"| {program} | {1e3 * statistics.median(values):.1f} |")


if __name__ == "__main__":
    main()
