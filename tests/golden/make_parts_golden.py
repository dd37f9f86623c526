#!/usr/bin/env python3
"""Writes data/losses.txt, data/optimisers.txt and data/schedules.txt: what PyTorch computes, in double precision, for
the cases of tests/train/test_losses.c, test_optimisers.c and test_schedules.c, whose numbers come from the streams of
base/random.h and are made again there bit for bit.

    /usr/bin/python3 tests/golden/make_parts_golden.py          (Debian: python3-torch, python3-torchvision)

Where PyTorch has no such loss (Wing, Soft-Wing, the soft-argmax coordinates) or average, its formula is written out
from the paper in PyTorch, and only differentiated by it.
"""
import os

import numpy
import torch
import torch.nn.functional as F

import make_golden as golden
import make_training_golden as training
from make_golden import SEED


def drawn(name, index, count, low, high):
    """Uniform single-precision numbers of a named stream."""
    low, high = numpy.float32(low), numpy.float32(high)
    return low + (high - low) * golden.uniform(golden.stream(SEED, golden.hash_name(name), index), count)


def tensor(values, *shape):
    return torch.from_numpy(values.astype(numpy.float64)).reshape(shape)


def write(name, lines):
    with open(os.path.join(golden.FOLDER, name), "w", encoding="ascii") as file:
        for key, numbers in lines:
            file.write(" ".join([key] + [f"{number:.12g}" for number in numbers]) + "\n")


def sampled(values, about):
    """Every n-th number, so that there are at most `about`, and how far apart they are."""
    flat = values.detach().numpy().flatten()
    return flat[::(len(flat) + about - 1) // about]


# ---- losses ----

def wing(difference, w, e):
    a = difference.abs()
    constant = w - w * numpy.log1p(w / e)
    return torch.where(a < w, w * torch.log1p(a / e), a - constant).mean()


def soft_wing(difference, w1, w2, e):
    a = difference.abs()
    constant = w1 - w2 * numpy.log1p(w1 / e)
    return torch.where(a < w1, a, w2 * torch.log1p(a / e) + constant).mean()


REGRESSION = {
    "smooth-l1": lambda o, t: F.smooth_l1_loss(o, t),
    "smooth-l1:beta": lambda o, t: F.smooth_l1_loss(o, t, beta=0.375),
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "wing": lambda o, t: wing(o - t, 0.2, 0.04),
    "wing:constants": lambda o, t: wing(o - t, 1.0, 0.25),
    "soft-wing": lambda o, t: soft_wing(o - t, 0.04, 0.4, 0.01),
    "soft-wing:constants": lambda o, t: soft_wing(o - t, 0.5, 1.0, 0.125),
}
IMAGES, COORDINATES = 6, 8


def regression_cases():
    for name, loss_of in REGRESSION.items():
        output = drawn("output", 0, IMAGES * COORDINATES, -1, 1)
        target = drawn("target", 0, IMAGES * COORDINATES, -1, 1)
        target[0] = output[0]
        output = tensor(output, IMAGES, COORDINATES).requires_grad_()
        loss = loss_of(output, tensor(target, IMAGES, COORDINATES))
        loss.backward()
        yield name, [loss.item(), *output.grad.numpy().flatten()]


# name: height, width, keypoints, images, sigma, weight of the soft-argmax coordinates
HEATMAPS = {"small": (7, 5, 3, 2, 2.33, 0.0), "sharp": (7, 5, 3, 2, 0.75, 0.5), "bands": (40, 70, 2, 1, 2.33, 0.25)}


def targets_of(height, width, keypoints, images, sigma):
    """Points and their maps, images x keypoints x cells; the second point of each image lies outside."""
    points = tensor(drawn("point", height, images * keypoints * 2, 0, 1), images, keypoints, 2)
    points = points * torch.tensor([width - 1.0, height - 1.0])
    points = points.float().double()  # as they are given
    points[:, 1, 0] = width + 1.0
    training.SIGMA = sigma
    maps = torch.zeros(images, keypoints, height * width, dtype=torch.float64)
    for i in range(images):
        for k in range(keypoints):
            if k != 1:
                x, y = (int(numpy.floor(v + 0.5)) for v in points[i, k].tolist())
                maps[i, k] = torch.from_numpy(
                    numpy.outer(training.filtered(y, height), training.filtered(x, width)).flatten())
    return points, maps


def soft_argmax_loss(logits, points, height, width):
    """Mean over all coordinates, to which a point outside adds nothing."""
    p = logits.softmax(-1).reshape(*logits.shape[:2], height, width)
    x = (p.sum(2) * torch.arange(width)).sum(-1)
    y = (p.sum(3) * torch.arange(height)).sum(-1)
    inside = torch.ones_like(x)
    inside[:, 1] = 0
    return sum((F.smooth_l1_loss(axis, points[:, :, i], reduction="none") * inside).sum()
               for i, axis in enumerate((x, y))) / (2 * x.numel())


def heatmap_cases():
    kinds = {
        "cross-entropy": lambda z, t: F.cross_entropy(z.flatten(0, 1), t.flatten(0, 1)),
        "bce": F.binary_cross_entropy_with_logits,
        "heatmap-mse": F.mse_loss,
    }
    for kind, loss_of in kinds.items():
        for name, (height, width, keypoints, images, sigma, integral) in HEATMAPS.items():
            rows = tensor(drawn("logits", height, images * height * width * keypoints, -3, 3), images, height * width,
                          keypoints).requires_grad_()
            logits = rows.transpose(1, 2)
            points, maps = targets_of(height, width, keypoints, images, sigma)
            loss = loss_of(logits, maps) + integral * soft_argmax_loss(logits, points, height, width)
            loss.backward()
            yield f"{kind}:{name}", [loss.item(), *sampled(rows.grad, 80)]


# ---- optimisers ----

STEPS, EPOCH, ABOUT = 12, 4, 10
SHAPES = {"first.weight": (5, 3), "first.bias": (5,), "norm.weight": (5,), "norm.bias": (5,), "large.weight": (130, 5),
          "large.bias": (130,), "wide.weight": (130, 130), "wide.bias": (130,)}
RUNNING = {"norm.running_mean": (5,), "norm.running_var": (5,)}
# name: kind, settings of torch's optimiser, then what is ours: clip, scale, groups (prefix, rate factor, frozen
# epochs, without decay), ema, momentum of each step
OPTIMISERS = {
    "adam": ("Adam", {}, {}),
    "adam-constants": ("Adam", {"betas": (0.8, 0.99), "eps": 1e-3}, {}),
    "adam-decay": ("Adam", {"weight_decay": 0.1}, {}),
    "adamw": ("AdamW", {"weight_decay": 0.1}, {}),
    "sgd": ("SGD", {}, {}),
    "sgd-momentum": ("SGD", {"momentum": 0.9}, {}),
    "sgd-momentum-decay": ("SGD", {"momentum": 0.9, "weight_decay": 0.1}, {}),
    "sgd-clipped": ("SGD", {}, {"clip": 0.5}),
    "sgd-barely-clipped": ("SGD", {}, {"clip": 1e4}),
    "adamw-clipped": ("AdamW", {"weight_decay": 0.1}, {"clip": 0.5}),
    "sgd-scaled": ("SGD", {}, {"scale": 0.25}),
    "adamw-groups": ("AdamW", {"weight_decay": 0.1}, {"clip": 2.0, "groups": [
        ("norm.", 1.0, 0, True), ("first.", 0.1, 0, False), ("wide.", 1.0, 1, False), ("large.bias", 0.0, 0, False)]}),
    "adam-average": ("Adam", {}, {"ema": 0.99}),
}
RATE = 0.01


def treatment(name, groups):
    for prefix, factor, frozen, without_decay in groups:
        if name.startswith(prefix):
            return factor, frozen, without_decay
    return 1.0, 0, False


def build(kind, settings, parameters, groups):
    described = []
    for name, parameter in parameters.items():
        factor, _, without_decay = treatment(name, groups)
        group = {"params": [parameter], "lr": RATE * factor}
        if without_decay:
            group["weight_decay"] = 0.0
        described.append(group)
    return getattr(torch.optim, kind)(described, lr=RATE, **settings)


def optimiser_case(name, kind, settings, ours):
    parameters = {key: tensor(drawn(key, 0, numpy.prod(shape), -0.5, 0.5), *shape).requires_grad_()
                  for key, shape in SHAPES.items()}
    running = {key: tensor(drawn(key, 0, numpy.prod(shape), -0.5, 0.5), *shape) for key, shape in RUNNING.items()}
    groups = ours.get("groups", [])
    optimiser = build(kind, settings, parameters, groups)
    average = {key: values.detach().clone() for key, values in (parameters | running).items()}
    norms = []
    for step in range(STEPS):
        trained = []
        for key, shape in SHAPES.items():
            factor, frozen, _ = treatment(key, groups)
            gradient = tensor(drawn("gradient " + key, step, numpy.prod(shape), -1, 1), *shape) * ours.get("scale", 1.0)
            parameters[key].grad = gradient if factor > 0 and step // EPOCH >= frozen else None
            if parameters[key].grad is not None:
                trained.append(parameters[key])
        for key, shape in RUNNING.items():
            running[key] = tensor(drawn(key, step + 1, numpy.prod(shape), -0.5, 0.5), *shape)
        norms.append(torch.nn.utils.clip_grad_norm_(trained, ours.get("clip", 1e30)).item())
        optimiser.step()
        if "ema" in ours:
            decay = min(ours["ema"], (2 + step) / (11 + step))
            for key, values in (parameters | running).items():
                average[key] = decay * average[key] + (1 - decay) * values.detach()
    yield name + " norms", norms
    for key, values in parameters.items():
        yield f"{name} {key}", sampled(values, ABOUT)
    if "ema" in ours:
        for key, values in average.items():
            yield f"{name} average.{key}", sampled(values, ABOUT)


# ---- schedules ----

EPOCHS, STEPS_PER_EPOCH = 6, 7


def schedule_cases():
    from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR
    total = EPOCHS * STEPS_PER_EPOCH
    by_epoch = {
        "multistep": lambda o: MultiStepLR(o, [2, 4]),
        "multistep-factor": lambda o: MultiStepLR(o, [1, 3, 4], gamma=0.5),
        "cosine": lambda o: CosineAnnealingLR(o, EPOCHS),
        "cosine-minimum": lambda o: CosineAnnealingLR(o, EPOCHS, eta_min=1e-3),
    }
    by_step = {
        "one-cycle": lambda o: OneCycleLR(o, RATE, total, cycle_momentum=False),
        "one-cycle-constants": lambda o: OneCycleLR(o, RATE, total, pct_start=0.1, div_factor=10, final_div_factor=100,
                                                    cycle_momentum=False),
    }
    for name, create in (by_epoch | by_step).items():
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
        schedule = create(optimiser)
        rates = []
        for step in range(total):
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            if name in by_step and step + 1 < total or (step + 1) % STEPS_PER_EPOCH == 0:
                schedule.step()
        yield name, rates


def main():
    write("losses.txt", list(regression_cases()) + list(heatmap_cases()))
    write("optimisers.txt", [line for name, case in OPTIMISERS.items() for line in optimiser_case(name, *case)])
    write("schedules.txt", schedule_cases())


if __name__ == "__main__":
    main()
