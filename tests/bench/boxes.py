#!/usr/bin/env python3
"""What a wrong face box costs: the mean NME over the distance of the outer eye corners, by the error of the box.

  FACEKP_LIBRARY=libfacekp.so PYTHONPATH=examples/python boxes.py MODEL FACES.csv [--every 4] [--second-pass]

Each face is predicted in the tight box around its true points; in that box shifted in eight directions by a part of its
longer side; and in that box made larger or smaller about its centre. Prints a table."""
import argparse
import csv
import math
import os

import facekp

SHIFTS = (0.05, 0.10, 0.15, 0.20, 0.30)
SCALES = (0.70, 0.80, 0.90, 1.10, 1.25, 1.50)


def read_faces(path, every):
    folder = os.path.splitext(path)[0]
    with open(path, encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number % every == 0:
                yield (facekp.Picture(os.path.join(folder, row["image"])),
                       [(float(row["x%d" % i]), float(row["y%d" % i])) for i in range(68)])


def tight_box(points):
    xs, ys = zip(*points)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def moved(box, shift, angle):
    x, y, width, height = box
    reach = shift * max(width, height)
    return x + reach * math.cos(angle), y + reach * math.sin(angle), width, height


def scaled(box, factor):
    x, y, width, height = box
    return (x + width * (1 - factor) / 2, y + height * (1 - factor) / 2, width * factor, height * factor)


def boxes_of(box):
    """(name, boxes) of every error."""
    yield "none", [box]
    for shift in SHIFTS:
        yield "shifted by %.0f %%" % (100 * shift), [moved(box, shift, math.pi / 4 * turn) for turn in range(8)]
    for factor in SCALES:
        yield "%.2f as large" % factor, [scaled(box, factor)]


def nme(points, truth):
    eyes = math.dist(truth[36], truth[45])
    return sum(map(math.dist, points, truth)) / len(truth) / eyes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("faces", metavar="CSV")
    parser.add_argument("--every", type=int, default=1, help="only each N-th face")
    parser.add_argument("--second-pass", action="store_true")
    options = parser.parse_args()
    session = facekp.Model(options.model).session(threads=facekp.THREADS_ALL)
    errors = {}
    for picture, truth in read_faces(options.faces, options.every):
        for name, boxes in boxes_of(tight_box(truth)):
            faces = session.predict(picture, boxes=boxes, second_pass=options.second_pass, keep_label_bias=True)
            errors.setdefault(name, []).extend(nme(face.points, truth) for face in faces)
    print("| error of the box | NME | NME over 10 % |\n|---|---|---|")
    for name, values in errors.items():
        print("| %s | %.2f %% | %.1f %% |" % (name, 100 * sum(values) / len(values),
                                             100 * sum(value > 0.1 for value in values) / len(values)))


if __name__ == "__main__":
    main()
