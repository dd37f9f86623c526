#!/usr/bin/env python3
"""Writes data/*.training.txt: the first steps of training the four networks, as PyTorch takes them in double precision,
from weights, pictures and targets that generator.h makes again bit for bit.

    /usr/bin/python3 tests/golden/make_training_golden.py          (Debian: python3-torch, python3-torchvision)

A line is a kind, a name and numbers:

    loss STEP VALUE              before each of the Adam steps
    gradient TENSOR NORM P...    of the first step
    running TENSOR NORM P...     running statistics after the first step's forward pass

P are projections of the tensor onto vectors of random signs: the mean square of the differences of two tensors'
projections is, in expectation, the square of the 2-norm of their difference, which so takes eight numbers to check.
"""
import os

import numpy
import torch
import torch.nn.functional as F

import make_golden as golden
from make_golden import KEYPOINTS, SEED, U64

STEPS, PROJECTIONS, SIGMA = 10, 8, 2.33


class Trained(golden.Parameters):
    """The same tensors each time they are asked for, in double precision, with gradients."""

    def __init__(self, gain):
        super().__init__(gain, training=True)
        self.tensors = {}

    def tensor(self, name, shape, low, high):
        if name not in self.tensors:
            values = super().tensor(name, shape, low, high).double()
            self.tensors[name] = values.requires_grad_("running_" not in name)
        return self.tensors[name]

    def trained(self):
        return {name: values for name, values in self.tensors.items() if values.requires_grad}

    def running(self):
        return {name: values for name, values in self.tensors.items() if not values.requires_grad}


# ---- losses ----

def targets(count, low, high):
    """count x 68 x 2 coordinates."""
    low, high = numpy.float32(low), numpy.float32(high)
    rows = [low + (high - low) * golden.uniform(golden.stream(SEED, 3, i), 2 * KEYPOINTS) for i in range(count)]
    return torch.from_numpy(numpy.stack(rows)).double()


def smooth_l1(out):
    return F.smooth_l1_loss(out, targets(len(out), -2, 2))


def mse(out):
    return F.mse_loss(out, targets(len(out), -2, 2))


def filtered(cell, size):
    """A one at `cell`, then a Gaussian filter cut at 4 sigma and reflected at the border."""
    radius = int(4 * SIGMA + 0.5)
    weights = numpy.exp(-0.5 * (numpy.arange(-radius, radius + 1) / SIGMA) ** 2)
    one = numpy.zeros(size)
    one[cell] = 1
    return numpy.convolve(numpy.pad(one, radius, mode="symmetric"), weights / weights.sum(), "valid")


def cross_entropy(out):
    """Over the cells of each map."""
    size = out.shape[-1]
    points = targets(len(out), 0, size - 1).reshape(-1, 2).round().long().tolist()
    maps = numpy.stack([numpy.outer(filtered(y, size), filtered(x, size)).flatten() for x, y in points])
    return F.cross_entropy(out.reshape(maps.shape), torch.from_numpy(maps))


# ---- training ----

def numbers_of(name, tensor):
    """Norm and projections."""
    values = tensor.detach().numpy().flatten()
    signs = golden.numbers(golden.stream(SEED, golden.hash_name(name), 4), len(values))
    projections = [numpy.where(signs >> U64(k) & U64(1), values, -values).sum() for k in range(PROJECTIONS)]
    return [numpy.linalg.norm(values)] + projections


def train(parameters, forward, loss_of, rate):
    lines, optimiser = [], None
    for step in range(STEPS):
        loss = loss_of(forward(parameters))
        lines.append(("loss", step, [loss.item()]))
        if optimiser is None:
            optimiser = torch.optim.Adam(parameters.trained().values(), rate)
            running = [("running", name, numbers_of(name, t)) for name, t in parameters.running().items()]
        optimiser.zero_grad()
        loss.backward()
        if step == 0:
            lines += [("gradient", name, numbers_of(name, t.grad)) for name, t in parameters.trained().items()]
            lines += running
        optimiser.step()
    return lines


def pictures(first, count, size):
    """Pixels about zero. Each case's first picture is one of many tried, for which no input of a ReLU is so near zero,
    and no two inputs of a maximum so near each other, that rounding could turn the choice and so the gradient."""
    rows = [numpy.float32(4) * golden.picture(first + i, size) - numpy.float32(2) for i in range(count)]
    return torch.from_numpy(numpy.stack(rows)[:, None]).double()


def main():
    cases = {
        "direct": (1.2, lambda p: golden.direct(p, pictures(120, 8, 64), F.elu), smooth_l1, 1e-4),
        "resnet18": (1.0, lambda p: golden.resnet18(p, pictures(208, 8, 48)), mse, 1e-5),
        "dino_query": (0.8, lambda p: golden.dino(p, pictures(0, 2, 96), "query"), smooth_l1, 1e-5),
        "dino_flatten": (0.8, lambda p: golden.dino(p, pictures(0, 2, 96), "flatten", depth=2), smooth_l1, 1e-4),
        "unet": (1.2, lambda p: golden.unet(p, pictures(152, 4, 32), 32), cross_entropy, 1e-4),
    }
    for name, (gain, forward, loss_of, rate) in cases.items():
        lines = train(Trained(gain), forward, loss_of, rate)
        print(name, [round(values[0], 5) for kind, _, values in lines if kind == "loss"])
        with open(os.path.join(golden.FOLDER, name + ".training.txt"), "w", encoding="ascii") as file:
            for kind, key, values in lines:
                file.write(" ".join([kind, str(key)] + [f"{value:.9g}" for value in values]) + "\n")


if __name__ == "__main__":
    main()
