"""Runs `dbn bench` and every peer, one after the other, and prints one table.

    python benches/peers/run.py --data mnist/

Everything is run --repeats times in turn, so that a slow minute of the machine does not fall on one of them alone; the
table holds medians. Leave the machine alone meanwhile.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPTS = ["sklearn_pcd.py", "torch_cd.py", "rbms_pcd.py"]
# Settings that make OpenBLAS believe in another processor than it runs on.
UNFAIR = ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]
OURS = "candle-dbn"
# The load, in cores, above which other programs must be running.
QUIET = 0.25


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of MNIST's IDX files [default: made-up cases]")
    parser.add_argument("--dbn", default=ROOT / "target/release/dbn", type=pathlib.Path, help="the program [default: target/release/dbn]")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each row [default: 2]")
    parser.add_argument("--repeats", type=int, default=3, help="how often to run everything [default: 3]")
    parser.add_argument("--out", type=pathlib.Path, help="write every number as JSON to this file too")
    args = parser.parse_args()
    if not args.dbn.exists():
        parser.error(f"{args.dbn}: no such program; build it with: cargo build --release -p candle-dbn-cli")
    if args.repeats < 1:
        parser.error("--repeats: expected at least 1")
    return args


def run(command):
    environment = {name: value for name, value in os.environ.items() if name not in UNFAIR}
    print("  " + " ".join(map(str, command)), file=sys.stderr)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: exit code {done.returncode}")
    return done.stdout


def ours(args):
    """All rows, and the one of 64 visible units on the digits that scikit-learn's is measured on."""
    bench = [args.dbn, "bench", "--device", "cpu", "--json", "--seconds", str(args.seconds)]
    data = ["--data", args.data] if args.data else []
    report = json.loads(run([*bench, *data]))
    digits = ["--data", "digits", "--shape", "64x100", "--method", "pcd", "--batch", "10"]
    [line] = json.loads(run([*bench, *digits]))["rows"]
    rows = [row for row in report["rows"] if row["name"] != line["name"]] + [line]
    machine = report["machine"]
    return [{"peer": OURS, "version": machine["version"], "threads": machine["threads"], "rows": rows, "machine": machine}]


def peers(args):
    data = ["--data", args.data] if args.data else []
    for script in SCRIPTS:
        text = run([sys.executable, "-W", "ignore", HERE / script, "--seconds", str(args.seconds), *data])
        yield from map(json.loads, text.splitlines())


def median_of(reports, peer, row, key):
    rows = [r for report in reports if report["peer"] == peer for r in report["rows"] if r["name"] == row]
    return statistics.median(r[key] for r in rows) if rows else None


def table(reports):
    """A line for each row and program: its time, its ratio to its own products, and how many times our time it takes."""
    machine = next(report["machine"] for report in reports if report["peer"] == OURS)
    versions = {report["peer"]: report["version"] for report in reports}
    programs = ", ".join(f"{peer} {version}" for peer, version in versions.items())
    lines = [f"{machine['cpu'] or 'unknown processor'}, {machine['threads']} threads; {programs}", ""]
    lines += ["| row | program | µs a case | its dense products | ratio | times ours |", "| --- | --- | ---: | ---: | ---: | ---: |"]
    for row in dict.fromkeys(r["name"] for report in reports for r in report["rows"]):
        mine = median_of(reports, OURS, row, "us_per_case")
        for peer in versions:
            time = median_of(reports, peer, row, "us_per_case")
            if time is None:
                continue
            products = median_of(reports, peer, row, "products_us_per_case")
            ratio = median_of(reports, peer, row, "ratio")
            times = f"{time / mine:.2f}" if mine else "–"
            lines.append(f"| {row} | {peer} | {time:.2f} | {products:.2f} | {ratio:.2f} | {times} |")
    return "\n".join(lines)


def warn_of_load():
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > QUIET:
        print(f"other programs are running (load {load:.2f}): these numbers will say little, PyTorch's least", file=sys.stderr)


def main():
    args = arguments()
    warn_of_load()
    reports = []
    for repeat in range(args.repeats):
        print(f"run {repeat + 1} of {args.repeats}", file=sys.stderr)
        reports += [*ours(args), *peers(args)]
    if args.out:
        args.out.write_text(json.dumps(reports, indent=1))
    print(table(reports))


if __name__ == "__main__":
    main()
