"""Cases, clock and output, alike for all peers and for `dbn bench`: interleaved rounds, medians, names of rows."""

import argparse
import gzip
import json
import pathlib
import statistics
import struct
import time

import numpy as np

# Seconds that one side of a round takes at least.
ROUND = 0.002
# The fewest rounds, whatever time they take.
FEWEST = 5
CASES = 6000
LEARNING_RATE = 0.05
MOMENTUM = 0.5
WARM_UPDATES = 600


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", help="folder of MNIST's IDX files [default: random pixels, 13 %% of them on]")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds to measure each row for [default: 1]")
    parser.add_argument("--warm-updates", type=int, default=WARM_UPDATES, help="updates before the measuring [default: 600]")
    return parser.parse_args()


def mnist(folder):
    """The first CASES training pictures, thresholded at a half: float32, (CASES, 784)."""
    if folder is None:
        return (np.random.default_rng(1).random((CASES, 784)) < 0.13).astype(np.float32)
    path = pathlib.Path(folder) / "train-images-idx3-ubyte"
    if not path.exists():
        path = path.with_name(path.name + ".gz")
    read = gzip.open if path.suffix == ".gz" else open
    with read(path, "rb") as file:
        magic, _, height, width = struct.unpack(">4I", file.read(16))
        if (magic, height, width) != (0x803, 28, 28):
            raise SystemExit(f"{path}: expected pictures of 28x28 bytes, found magic {magic:#x}, {height}x{width}")
        pixels = np.frombuffer(file.read(CASES * 784), dtype=np.uint8)
    return (pixels.reshape(-1, 784) / 255.0 > 0.5).astype(np.float32)


def batches(cases, size):
    return [np.ascontiguousarray(cases[i : i + size]) for i in range(0, len(cases) - size + 1, size)]


def cycle(items):
    """A function that gives the next of `items` each time, again and again."""
    at = 0

    def following():
        nonlocal at
        at = (at + 1) % len(items)
        return items[at]

    return following


def timed(work, repeats):
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def row(name, cases, step, products, seconds, per_step=1):
    """Times `step`, which makes `per_step` updates of `cases` cases, beside `products`, the products of as many."""
    work = [step, products]
    repeats = []
    for side in work:
        timed(side, 1)
        repeats.append(max(1, round(ROUND / timed(side, 1))))
    rounds, start = [], time.perf_counter()
    while len(rounds) < FEWEST or time.perf_counter() - start < seconds:
        times = [0.0, 0.0]
        first = len(rounds) % 2
        for side in (first, 1 - first):
            times[side] = timed(work[side], repeats[side])
        rounds.append(times)
    to_us = 1e6 / (cases * per_step)
    return {
        "name": name,
        "us_per_case": statistics.median(r[0] for r in rounds) * to_us,
        "products_us_per_case": statistics.median(r[1] for r in rounds) * to_us,
        "ratio": statistics.median(r[0] / r[1] for r in rounds),
        "rounds": len(rounds),
    }


def report(peer, version, threads, rows):
    print(json.dumps({"peer": peer, "version": version, "threads": threads, "rows": rows}))
