#!/usr/bin/env python3
"""A training killed at random moments, with SIGKILL, and resumed each time ends with the bytes of one that was left
alone. The moments differ from run to run, which nothing may depend on.

    kill.py TOOL SCRATCH [KILLS]
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import time

TOOL, SCRATCH = map(os.path.abspath, sys.argv[1:3])
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
NETWORK = ["--recipe", "dino-tuned", "--dimension", "64", "--depth", "1", "--heads", "1", "--input-size", "32"]


def command(name):
    return ([TOOL, "train"] + NETWORK
            + ["--train-csv", "faces/faces.csv", "--epochs", "40", "--batch", "4", "--checkpoint-steps", "2", "--resume", "1",
               "--checkpoint", name + ".ckpt", "--output", name + ".safetensors", "--epoch-log", name + ".csv"])


def run(arguments):
    subprocess.run(arguments, cwd=SCRATCH, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def read(name):
    with open(os.path.join(SCRATCH, name), "rb") as file:
        return file.read()


def lines_without_times(name):
    return [line.rsplit(b",", 2)[0] for line in read(name).splitlines()]


def kill_after(seconds):
    """Whether the training was still running then."""
    process = subprocess.Popen(command("killed"), cwd=SCRATCH, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def main():
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.makedirs(SCRATCH)
    run([TOOL, "synth", "--count", "20", "--size", "64", "faces"])
    begin = time.monotonic()
    run(command("alone"))
    whole = time.monotonic() - begin
    kills = 0
    while kills < KILLS:
        if kill_after(random.uniform(0, 1.5 * whole / KILLS)):
            kills += 1
        else:  # it came to its end before the last kill: once more
            for ending in (".ckpt", ".safetensors", ".csv"):
                os.remove(os.path.join(SCRATCH, "killed" + ending))
    run(command("killed"))
    for ending in (".ckpt", ".safetensors"):
        assert read("alone" + ending) == read("killed" + ending), ending
    assert lines_without_times("alone.csv") == lines_without_times("killed.csv")
    assert len(read("alone.csv").splitlines()) == 41
    left = [name for name in os.listdir(SCRATCH) if name.endswith(".tmp")]
    assert not left, left
    print("%d kills, the same bytes" % kills)


main()
