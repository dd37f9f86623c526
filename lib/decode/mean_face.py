#!/usr/bin/env python3
"""Computes the table of plausibility.c from a CSV of landmarks (image,x0,y0,...,x67,y67) and prints it.

Generalised Procrustes analysis (Gower 1975): every shape is moved, scaled and turned onto the mean until the mean
stands still; the mean is made mirror-symmetric first, so that it favours neither side.
Usage: mean_face.py ../shared/data/ytfaces68/train.csv
"""
import csv
import math
import sys

PAIRS = ([(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)]
         + [(31, 35), (32, 34), (36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
         + [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)])
MIRROR = list(range(68))
for a, b in PAIRS:
    MIRROR[a], MIRROR[b] = b, a


def normalized(shape):
    centre = sum(shape) / len(shape)
    shape = [p - centre for p in shape]
    size = math.sqrt(sum(abs(p) ** 2 for p in shape) / len(shape))
    return [p / size for p in shape]


def fitted(shape, mean):
    """The normalised shape turned and scaled onto the mean (points as complex numbers)."""
    turn = (sum(m * p.conjugate() for m, p in zip(mean, shape)) / sum(abs(p) ** 2 for p in shape))
    return [turn * p for p in shape]


def main():
    with open(sys.argv[1], newline="") as file:
        rows = [list(map(float, row[1:])) for row in list(csv.reader(file))[1:]]
    shapes = [normalized([complex(x, y) for x, y in zip(row[0::2], row[1::2])]) for row in rows]
    mean = shapes[0]
    for _ in range(20):
        on_mean = [fitted(shape, mean) for shape in shapes]
        mean = [sum(column) / len(shapes) for column in zip(*on_mean)]
        mean = normalized([(p - mean[m].conjugate()) / 2 for p, m in zip(mean, MIRROR)])
        eyes = sum(mean[42:48]) - sum(mean[36:42])
        mean = [p * abs(eyes) / eyes for p in mean]
    on_mean = [fitted(shape, mean) for shape in shapes]
    spread = [math.sqrt(sum(abs(s[k] - mean[k]) ** 2 for s in on_mean) / (2 * len(shapes))) for k in range(68)]
    spread = [math.sqrt((spread[k] ** 2 + spread[MIRROR[k]] ** 2) / 2) for k in range(68)]
    for k in range(0, 68, 2):
        print("    " + " ".join("{%.4ff, %.4ff, %.4ff}," % (mean[i].real, mean[i].imag, spread[i]) for i in (k, k + 1)))


main()
