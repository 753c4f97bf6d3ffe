#!/usr/bin/env python3
"""Compares the strategies of `skimp optimize`: runs them side by side, and makes the table of docs/results/optimize.md.

    docs/results/optimize.py run OUT --seed 1 -- cifar10_resnet20.onnx --data cifar10:DIR --preprocess imagenet \
        --max-loss 0.5 --objective energy@compend --minutes 20 --threads 1
    docs/results/optimize.py table OUT [OUT...]

`run` starts guided, random and single at once, with one seed, into OUT/STRATEGY-SEED; what each says is in its log.txt.
A program other than `skimp` on the PATH: the environment variable SKIMP. `table` reads every optimize.json below OUT.
Python's standard library is enough.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

STRATEGIES = ["guided", "random", "single"]


def run(out, seed, arguments):
    """Runs the strategies; returns the exit status of the first that failed."""
    program = os.environ.get("SKIMP", "skimp")
    started = []
    for strategy in STRATEGIES:
        folder = out / f"{strategy}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        command = [program, "optimize", *arguments, "--strategy", strategy, "--seed", str(seed), "-o", str(folder)]
        log = open(folder / "log.txt", "w", encoding="utf-8")
        started.append((strategy, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)))
    failed = 0
    for strategy, process in started:
        if process.wait() != 0:
            print(f"{strategy} ended with {process.returncode}: see its log.txt", file=sys.stderr)
            failed = failed or process.returncode
    return failed


def interval(pair, factor=1.0):
    low, high = (factor * end for end in pair)
    return f"{low:.2f} to {high:.2f}"


def row(record):
    judged = record["judgement"]
    result, spent = judged["result"], record["spent"]
    share = lambda *names: 100 * sum(spent[name] for name in names) / record["seconds"]
    budget = record["budget"]
    given = f"{60 * budget['minutes']:.0f} s" if "minutes" in budget else f"{budget['steps']} points"
    statuses = [point["status"] for point in record["path"]]
    last = len(statuses) - 1 - statuses[::-1].index("best")
    return [
        record["strategy"],
        record["seed"],
        len(record["path"]),
        last,
        f"{result['objective']:.4g}",
        f"{judged['gain']:.2f}",
        f"{100 * result['top1']:.2f} ({interval(result['top1_interval'], 100)})",
        f"{judged['loss']:.2f} ({interval(judged['loss_interval'])})",
        judged["verdict"],
        f"{share('reducing'):.0f} / {share('judging', 'simulating', 'quantizing'):.0f}",
        f"{record['seconds']:.0f} of {given}",
    ]


def table(folders):
    """The table, in Markdown, strategies and then seeds."""
    paths = sorted({path for folder in folders for path in folder.glob("**/optimize.json")})
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if not records:
        sys.exit("no optimize.json below " + ", ".join(map(str, folders)))
    whole = [record for record in records if "judgement" in record]
    if not whole:
        sys.exit("none of the runs was judged: they were stopped")
    first = whole[0]
    others = [record for record in whole if record["objective"] != first["objective"]]
    if others:
        sys.exit(f"runs of {first['objective']} and of {others[0]['objective']} do not compare")
    start, top1 = first["judgement"]["start"]["objective"], 100 * first["judgement"]["float"]["top1"]
    columns = [
        "strategy",
        "seed",
        "points tried",
        "last better one",
        f"{first['unit']} for an image",
        f"times less than the start ({start:.4g})",
        "top-1, 95 % interval",
        f"loss against {top1:.2f} %, 95 % interval",
        f"within {first['max_loss']}?",
        "% of time learning / evaluating",
        "wall-clock",
    ]
    order = lambda record: (STRATEGIES.index(record["strategy"]), record["seed"])
    rows = [columns, ["---"] * len(columns), *map(row, sorted(whole, key=order))]
    for cells in rows:
        print("| " + " | ".join(map(str, cells)) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run the three strategies side by side; behind --: what skimp optimize is given")
    running.add_argument("out", type=pathlib.Path)
    running.add_argument("--seed", type=int, default=1)
    making = commands.add_parser("table", help="the table of the runs' records")
    making.add_argument("out", type=pathlib.Path, nargs="+")
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:end])
    if given.command == "run":
        sys.exit(run(given.out, given.seed, words[end + 1 :]))
    table(given.out)


if __name__ == "__main__":
    main()
