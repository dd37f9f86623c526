#!/usr/bin/env python3
"""Checks the rules of the house (lib/README.md): a file includes headers of its own floor's room and of the floors
below only, public headers aside."""
import os
import re
import sys

FLOORS = {"base": 0, "kernels": 1, "operators": 2, "graph": 3, "networks": 4, "weights": 5, "image": 5, "decode": 5,
          "facekp": 6, "train": 7}
# libfacekp-train carries floors 0 to 5 only: floor 6 is reached through the public header.
FORBIDDEN = {("train", "facekp")}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def room_of(path):
    return path.split("/")[0]


def check_file(path, text, complaints):
    room = room_of(path)
    for included in INCLUDE.findall(text):
        target = room_of(included)
        if included.startswith("facekp/") and included in ("facekp/facekp.h", "facekp/version.h", "facekp/train.h"):
            continue
        if "/" not in included:
            target = room
        if target not in FLOORS:
            complaints.append("%s: includes %s, which is in no room" % (path, included))
        elif (room, target) in FORBIDDEN or (target != room and FLOORS[target] >= FLOORS[room]):
            complaints.append("%s (floor %d): includes %s (floor %d)" % (path, FLOORS[room], included, FLOORS[target]))


def main(lib):
    complaints, count = [], 0
    for folder, _, files in sorted(os.walk(lib)):
        for name in sorted(files):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.relpath(os.path.join(folder, name), lib)
            count += 1
            if room_of(path) not in FLOORS:
                complaints.append("%s: %s is no room of lib/README.md" % (path, room_of(path)))
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                check_file(path, file.read(), complaints)
    for line in complaints:
        print(line)
    print("%d files, %d complaints" % (count, len(complaints)))
    return 1 if complaints or count == 0 else 0


sys.exit(main(sys.argv[1]))
