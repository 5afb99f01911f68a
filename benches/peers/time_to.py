"""Time to quality: seconds of learning until a machine of 784-500 has a likelihood, ours beside PyTorch by hand and `rbms`.

    python benches/peers/time_to.py --data mnist/

Every program learns from the same bits by PCD-1 with mini-batches of 100 and 100 chains. The rate falls to zero along the
training, so each training has a length of its own: these double until the last target is reached or --epochs is passed.
The rate is the best of three at the first length. All machines are measured by `dbn evaluate --likelihood --both` on the
same held-out bits; the clock stands still meanwhile. What counts is the lower of both sides of log Z.
Leave the machine alone: PyTorch's threads wait for each other in loops.
"""

import argparse
import gzip
import importlib.metadata
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from rbms.bernoulli_bernoulli.classes import BBRBM
from rbms.training.pcd import fit_batch_pcd

import measure
import torch_cd
from rbms_pcd import Cases
from run import ROOT, warn_of_load

HIDDEN, BATCH, MOMENTUM = 500, 100, 0.5
RATES = [0.02, 0.05, 0.1]
TARGETS = [-90.0, -88.0, -86.34]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=pathlib.Path, help="folder of MNIST's IDX files")
    parser.add_argument("--dbn", default=ROOT / "target/release/dbn", type=pathlib.Path, help="the program [default: target/release/dbn]")
    parser.add_argument("--first", type=int, default=5, help="epochs of the first length [default: 5]")
    parser.add_argument("--epochs", type=int, default=80, help="the longest training [default: 80]")
    parser.add_argument("--betas", type=int, default=3000, help="inverse temperatures of the estimation [default: 3000]")
    parser.add_argument("--limit", type=int, default=60000, help="cases to learn from [default: 60000]")
    parser.add_argument("--programs", default="candle-dbn,PyTorch by hand,rbms", help="which, by commas [default: all]")
    parser.add_argument("--out", type=pathlib.Path, help="write every number as JSON to this file too")
    return parser.parse_args()


def read(folder, name):
    path = folder / name
    if not path.exists():
        path = path.with_name(path.name + ".gz")
    with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
        magic, count, height, width = struct.unpack(">4I", file.read(16))
        if magic != 0x803:
            raise SystemExit(f"{path}: expected pictures as IDX, found magic {magic:#x}")
        return np.frombuffer(file.read(count * height * width), dtype=np.uint8).reshape(count, height, width)


def write_bits(data, folder, limit):
    """Draws every pixel once, 1 with its grey value as probability; as IDX files for ours, as floats for the others."""
    random = np.random.default_rng(0)
    drawn = {}
    for name, most in (("train-images-idx3-ubyte", limit), ("t10k-images-idx3-ubyte", None)):
        grey = read(data, name)[:most]
        bits = (random.random(grey.shape) < grey / 255.0).astype(np.uint8)
        (folder / name).write_bytes(struct.pack(">4I", 0x803, *bits.shape) + (255 * bits).tobytes())
        # A folder of IDX files has labels, which nobody looks at here.
        labels = folder / name.replace("images-idx3", "labels-idx1")
        labels.write_bytes(struct.pack(">2I", 0x801, len(bits)) + bytes(len(bits)))
        drawn[name] = bits
    bits = drawn["train-images-idx3-ubyte"]
    return torch.from_numpy(bits.reshape(len(bits), -1).astype(np.float32))


def ours(args, folder, cases, rate, epochs, out):
    """Learns by `dbn train`; the seconds are those of the epochs."""
    layer = {"method": "pcd", "steps": 1, "epochs": epochs, "batch_size": BATCH, "l2": 0, "momentum": MOMENTUM}
    layer["learning_rate"] = f'{{ from = {rate}, to = 0, per = "update" }}'
    settings = [word for key, value in layer.items() for word in ("--set", f"layers.*.{key}={value}")]
    command = [args.dbn, "train", folder, "--layers", HIDDEN, "--unsupervised", "--no-pictures", "--no-evaluation", "--device", "cpu"]
    run([*command, *settings, "--out", out, "--quiet"])
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return sum(json.loads(line)["seconds"] for line in lines)


def shuffled(cases):
    return cases[torch.randperm(len(cases))].split(BATCH)


@torch.no_grad()
def by_hand(args, folder, cases, rate, epochs, out):
    torch.manual_seed(0)
    machine = torch_cd.Machine(cases)
    start, updates, done = time.perf_counter(), epochs * (len(cases) // BATCH), 0
    for _ in range(epochs):
        for batch in shuffled(cases):
            measure.LEARNING_RATE = rate * (1 - done / updates)
            machine.update(batch, 1, True)
            done += 1
    seconds = time.perf_counter() - start
    keep(args, out, machine.weights, machine.visible_bias, machine.hidden_bias)
    return seconds


@torch.no_grad()
def by_rbms(args, folder, cases, rate, epochs, out):
    torch.manual_seed(0)
    rbm = BBRBM.init_parameters(HIDDEN, Cases(cases), torch.device("cpu"), torch.float32)
    rbm.init_grad()
    # Its updates have no momentum: the rate that comes to as much in the long run.
    rate = rate / (1 - MOMENTUM)
    optimizer = torch.optim.SGD(rbm.parameters(), lr=rate, maximize=True)
    chains, ones = rbm.init_chains(BATCH), torch.ones(BATCH)
    start, updates, done = time.perf_counter(), epochs * (len(cases) // BATCH), 0
    for _ in range(epochs):
        for batch in shuffled(cases):
            optimizer.param_groups[0]["lr"] = rate * (1 - done / updates)
            optimizer.zero_grad(set_to_none=False)
            chains, _ = fit_batch_pcd((batch, ones), chains, rbm, 1, beta=1.0)
            optimizer.step()
            done += 1
    seconds = time.perf_counter() - start
    keep(args, out, rbm.weight_matrix, rbm.vbias, rbm.hbias)
    return seconds


def keep(args, out, weights, visible_bias, hidden_bias):
    """As a model of ours, so that all are measured alike."""
    out.mkdir()
    state = {"W": weights.t().contiguous(), "v_bias": visible_bias.clone(), "h_bias": hidden_bias.clone()}
    torch.save(state, out / "rbm.pt")
    run([args.dbn, "import", out / "rbm.pt", "--image", "28x28", "--out", out, "--quiet"])


def run(words):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def likelihood(args, folder, model):
    """log p(v) of the held-out bits from both sides, nats a case."""
    words = [args.dbn, "evaluate", model, folder, "--cases", "held-out", "--likelihood", "--both", "--betas", args.betas, "--json", "--quiet"]
    found = json.loads(run(words))
    return sorted(found[side]["log_likelihood"] for side in ("forward", "reverse"))


def main():
    args = arguments()
    warn_of_load()
    programs = {"candle-dbn": ours, "PyTorch by hand": by_hand, "rbms": by_rbms}
    chosen = {name: programs[name] for name in args.programs.split(",")}
    rows = []
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        folder = place / "bits"
        folder.mkdir()
        cases = write_bits(args.data, folder, args.limit)

        def trained(name, rate, epochs):
            out = place / f"{len(rows)}"
            seconds = chosen[name](args, folder, cases, rate, epochs, out)
            low, high = likelihood(args, folder, out)
            row = {"program": name, "rate": rate, "epochs": epochs, "seconds": seconds, "low": low, "high": high}
            print(f"  {name}, rate {rate}, {epochs} epochs: {seconds:.1f} s, {low:.2f} to {high:.2f}", file=sys.stderr)
            rows.append(row)
            return row

        for name in chosen:
            best = max((trained(name, rate, args.first) for rate in RATES), key=lambda row: row["low"])
            epochs = args.first
            while best["low"] < max(TARGETS) and 2 * epochs <= args.epochs:
                epochs *= 2
                best = trained(name, best["rate"], epochs)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))
    versions = [f"PyTorch {torch.__version__}", f"rbms {importlib.metadata.version('rbms')}"]
    print(f"{', '.join(versions)}; {torch.get_num_threads()} threads\n")
    print("| nats a case, at least | " + " | ".join(chosen) + " |\n| --- |" + " ---: |" * len(chosen))
    for target in TARGETS:
        cells = []
        for name in chosen:
            reached = [row for row in rows if row["program"] == name and row["low"] >= target]
            first = min(reached, key=lambda row: row["seconds"], default=None)
            cells.append(f"{first['seconds']:.0f} s ({first['epochs']} epochs, rate {first['rate']}: {first['low']:.2f})" if first else "not reached")
        print(f"| {target} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
