#!/usr/bin/env python3
"""libfacekp and other runtimes on the same machine, interleaved, and the ratios.

  peers.py --bench BUILD/tests/bench/bench_network --models DIR [--peer NAME=COMMAND]... [--rounds 3]
  peers.py --bench BUILD/tests/bench/bench_training --batch 8 --runs 5 [--peer NAME=COMMAND]...

The first measures inference, the second training steps, for which no model is needed. DIR holds NAME.safetensors and, to
check the numbers, NAME.in.bin and NAME.out.bin (raw float32, one image) for each network. A peer's COMMAND is run by the
shell with {net} {threads} {batch} {runs} filled in and prints one JSON line with the keys net, threads, batch, median_ms,
min_ms, cold_ms, rss_mb, as ours do. Within a round the runtimes take turns on a network in shuffled order; medians are over
rounds. Without peers ours stand alone."""
import argparse
import json
import os
import random
import statistics
import subprocess

NETWORKS = ("direct", "resnet18", "dino", "unet")


def measure(command, threads):
    pinned = "taskset -c 0 " if threads == 1 else ""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    done = subprocess.run(pinned + command, shell=True, env=environment, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise SystemExit("%s: %s" % (command, (done.stderr or done.stdout).strip()[-300:]))
    return json.loads(lines[-1])


def our_command(options, net):
    if options.models is None:
        return options.bench + " {net} {threads} {batch} {runs}"
    model = os.path.join(options.models, net)
    check = [model + ".in.bin", model + ".out.bin"]
    gray = os.path.exists(check[0]) and os.path.getsize(check[0]) == 4 * 224 * 224
    return " ".join([options.bench, model + ".safetensors", "{threads} {batch} {runs}"] + (check if gray else []))


def table(results, runtimes):
    print("| network | threads | runtime | median ms | fastest | images/s | ratio | cold ms | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (net, threads), rows in sorted(results.items()):
        ours = statistics.median(row["median_ms"] for row in rows["facekp"])
        for name in runtimes:
            def middle(key):
                return statistics.median(row[key] for row in rows[name])
            median = middle("median_ms")
            print("| %s | %d | %s | %.1f | %.1f | %.1f | %.2f | %.0f | %.0f |" % (
                net, threads, name, median, min(row["min_ms"] for row in rows[name]),
                1e3 * rows[name][0]["batch"] / median, ours / median, middle("cold_ms"), middle("rss_mb")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True)
    parser.add_argument("--models", help="for inference; without it --bench is bench_training")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=31)
    parser.add_argument("--json", help="append every line to this file")
    options = parser.parse_args()
    peers = dict(peer.split("=", 1) for peer in options.peer)
    runtimes = ["facekp"] + list(peers)
    results = {}
    for _ in range(options.rounds):
        for net in options.networks.split(","):
            for threads in map(int, options.threads.split(",")):
                rows = results.setdefault((net, threads), {name: [] for name in runtimes})
                for name in random.sample(runtimes, len(runtimes)):
                    command = our_command(options, net) if name == "facekp" else peers[name]
                    row = measure(command.format(net=net, threads=threads, batch=options.batch, runs=options.runs),
                                  threads)
                    rows[name].append(row)
                    if options.json:
                        with open(options.json, "a") as file:
                            file.write(json.dumps(dict(row, runtime=name)) + "\n")
    table(results, runtimes)


if __name__ == "__main__":
    main()
