#!/usr/bin/env python3
"""Writes data/*.txt: what PyTorch computes with the four networks for weights and pictures that generator.h makes
again bit for bit, so that only outputs are kept.

    /usr/bin/python3 tests/golden/make_golden.py [FACES]    (Debian: python3-torch, python3-torchvision)

FACES is the folder of real faces, for data/*_real.txt; without it those files are left alone.
"""
import math
import os
import sys

import numpy
import torch
import torch.nn.functional as F
import torchvision
from torch.nn.utils.stateless import functional_call

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
SEED, KEYPOINTS, SIZE, IMAGES, CELL = 2024, 68, 224, 2, 16
U64 = numpy.uint64
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


# ---- numbers by position, as base/random.h has them ----

def mix(z):
    """splitmix64's finaliser, of Python integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def mix_array(z):
    z = (z ^ (z >> U64(30))) * U64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> U64(27))) * U64(0x94D049BB133111EB)
    return z ^ (z >> U64(31))


def stream(seed, a, b):
    key = mix((seed + GOLDEN) & MASK)
    key = mix(key ^ mix((a + GOLDEN) & MASK))
    return mix(key ^ mix((b + 2 * GOLDEN) & MASK))


def hash_name(name):
    """FNV-1a."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def numbers(key, count):
    return mix_array(U64(key) + numpy.arange(1, count + 1, dtype=U64) * U64(GOLDEN))


def uniform(key, count):
    return (numbers(key, count) >> U64(40)).astype(numpy.float32) * numpy.float32(2.0**-24)


def between(name, shape, low, high):
    low, high = numpy.float32(low), numpy.float32(high)
    values = low + (high - low) * uniform(stream(SEED, hash_name(name), 0), math.prod(shape))
    return torch.from_numpy(values.reshape(shape))


def picture(index, size=SIZE):
    """A smooth patch: a grid of random numbers, bilinear between them, and a little noise."""
    nodes = size // CELL + 1
    grid = uniform(stream(SEED, 1, index), nodes * nodes).reshape(nodes, nodes)
    noise = uniform(stream(SEED, 2, index), size * size).reshape(size, size)
    cell, part = numpy.arange(size) // CELL, (numpy.arange(size) % CELL).astype(numpy.float32)
    part, rest = part / numpy.float32(CELL), (CELL - part) / numpy.float32(CELL)
    rows = grid[cell] * rest[:, None] + grid[cell + 1] * part[:, None]
    smooth = rows[:, cell] * rest + rows[:, cell + 1] * part
    return numpy.float32(0.9) * smooth + numpy.float32(0.1) * noise


# Real faces, larger than the input: the window at this corner is taken as it is.
FACES, CORNER = ("Ali_Abbas_31.png", "Alex_Ferguson_50.png"), 48


def faces(folder):
    windows = []
    for name in FACES:
        pixels = torchvision.io.read_image(os.path.join(folder, name), torchvision.io.ImageReadMode.GRAY)
        windows.append(pixels[:, CORNER:CORNER + SIZE, CORNER:CORNER + SIZE].float() / 255)
    return torch.stack(windows)


# ---- parameters ----

class Parameters:
    """Tensors by name: weights scaled by their fan-in, norms near the identity. `training` normalises by the batch."""

    def __init__(self, gain, training=False):
        self.gain, self.training = gain, training

    def tensor(self, name, shape, low, high):
        return between(name, shape, low, high)

    def weight(self, name, shape, fan):
        bound = self.gain * math.sqrt(3.0 / fan)
        return self.tensor(name, shape, -bound, bound)

    def product(self, prefix, shape):
        """Weight and bias of a convolution or linear layer."""
        fan = math.prod(shape) // shape[0]
        return self.weight(prefix + ".weight", shape, fan), self.tensor(prefix + ".bias", shape[:1], -0.1, 0.1)

    def norm(self, prefix, channels):
        """Weight and bias of a norm."""
        weight = self.tensor(prefix + ".weight", (channels,), 0.8, 1.2)
        return weight, self.tensor(prefix + ".bias", (channels,), -0.1, 0.1)

    def batch_norm(self, x, prefix):
        channels = x.shape[1]
        weight, bias = self.norm(prefix, channels)
        mean = self.tensor(prefix + ".running_mean", (channels,), -0.1, 0.1)
        variance = self.tensor(prefix + ".running_var", (channels,), 0.8, 1.2)
        return F.batch_norm(x, mean, variance, weight, bias, self.training, 0.1, 1e-5)


# ---- networks ----

def direct(p, x, activation):
    for i, channels in enumerate((32, 64, 128, 256)):
        x = F.conv2d(x, *p.product(f"conv.{i}", (channels, x.shape[1], 4, 4)))
        x = F.max_pool2d(activation(p.batch_norm(x, f"bn.{i}")), 2)
    x = x.flatten(1)
    for i, channels in enumerate((1024, 512)):
        x = F.linear(x, *p.product(f"fc.{i}", (channels, x.shape[1])))
        x = activation(p.batch_norm(x, f"fcbn.{i}"))
    return F.linear(x, *p.product("fc.2", (2 * KEYPOINTS, 512)))


def resnet18(p, x):
    model = torchvision.models.resnet18()
    model.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    model.fc = torch.nn.Linear(512, 2 * KEYPOINTS)
    tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            channels = (module.num_features,)
            tensors[name + ".weight"], tensors[name + ".bias"] = p.norm(name, module.num_features)
            tensors[name + ".running_mean"] = p.tensor(name + ".running_mean", channels, -0.1, 0.1)
            tensors[name + ".running_var"] = p.tensor(name + ".running_var", channels, 0.8, 1.2)
        elif isinstance(module, torch.nn.Conv2d):
            shape = tuple(module.weight.shape)
            tensors[name + ".weight"] = p.weight(name + ".weight", shape, math.prod(shape[1:]))
        elif isinstance(module, torch.nn.Linear):
            tensors[name + ".weight"], tensors[name + ".bias"] = p.product(name, tuple(module.weight.shape))
    return functional_call(model.train(p.training), tensors, (x,))


def dino(p, x, head, dimension=384, depth=12, heads=6):
    x = F.conv2d(x, *p.product("patch_embed.proj", (dimension, 1, 16, 16)), stride=16).flatten(2).transpose(1, 2)
    token = p.tensor("cls_token", (1, 1, dimension), -0.5, 0.5).expand(x.shape[0], -1, -1)
    x = torch.cat((token, x), 1)
    x = x + p.tensor("pos_embed", (1, x.shape[1], dimension), -0.5, 0.5)

    def norm(x, prefix):
        return F.layer_norm(x, (dimension,), *p.norm(prefix, dimension), 1e-6)

    for i in range(depth):
        prefix = f"blocks.{i}."
        y = F.linear(norm(x, prefix + "norm1"), *p.product(prefix + "attn.qkv", (3 * dimension, dimension)))
        count, tokens = y.shape[:2]
        q, k, v = y.reshape(count, tokens, 3, heads, dimension // heads).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) * (dimension // heads) ** -0.5).softmax(-1) @ v
        y = y.transpose(1, 2).reshape(count, tokens, dimension)
        x = x + F.linear(y, *p.product(prefix + "attn.proj", (dimension, dimension)))
        y = F.gelu(F.linear(norm(x, prefix + "norm2"), *p.product(prefix + "mlp.fc1", (4 * dimension, dimension))))
        x = x + F.linear(y, *p.product(prefix + "mlp.fc2", (dimension, 4 * dimension)))
    x = norm(x, "norm")[:, 1:]
    if head == "query":
        query = p.tensor("query", (KEYPOINTS, dimension), -6.0, 6.0)
        x = (query @ x.transpose(1, 2) * dimension**-0.5).softmax(-1) @ x
        return F.linear(x, *p.product("fc", (2, dimension))).flatten(1)
    x = x.flatten(1)
    x = F.elu(F.linear(x, *p.product("fc.0", (1024, x.shape[1]))))
    x = F.elu(F.linear(x, *p.product("fc.2", (512, 1024))))
    return F.linear(x, *p.product("fc.4", (2 * KEYPOINTS, 512)))


def unet(p, x, width):
    def double_convolution(x, prefix, channels):
        for place in (0, 4):
            x = F.conv2d(x, *p.product(f"{prefix}.{place}", (channels, x.shape[1], 3, 3)), padding=1)
            x = F.elu(p.batch_norm(x, f"{prefix}.{place + 1}"))
        return x

    x, skips = double_convolution(x, "inc", width), []
    for level in range(4):
        skips.append(x)
        x = double_convolution(F.max_pool2d(x, 2), f"down.{level}", width << (level + 1))
    for i in range(4):
        channels = width << (3 - i)
        weight = p.weight(f"up.{i}.weight", (2 * channels, channels, 2, 2), 2 * channels)
        x = F.conv_transpose2d(x, weight, p.tensor(f"up.{i}.bias", (channels,), -0.1, 0.1), stride=2)
        x = double_convolution(torch.cat((skips.pop(), x), 1), f"upconv.{i}", channels)
    return F.conv2d(x, *p.product("outc", (KEYPOINTS, width, 1, 1)))


# ---- files ----

def write(name, lists):
    with open(os.path.join(FOLDER, name + ".txt"), "w", encoding="ascii") as file:
        for key, values in lists:
            file.write(f"{key} {len(values)}\n")
            file.write("\n".join(f"{value:.9g}" for value in values) + "\n")


def write_heatmaps(name, logits):
    """Argmax and sum of every map, and logits at a stride that is prime to all sizes."""
    maps = logits.reshape(IMAGES * KEYPOINTS, -1)
    write(name, (("argmax", maps.argmax(1).tolist()), ("sum", maps.double().sum(1).tolist()),
                 ("largest", [maps.abs().max().item()]), ("sample", logits.flatten()[::10007].tolist())))


def write_all(x, suffix):
    regressions = {
        "direct_elu": lambda: direct(Parameters(1.2), x, F.elu),
        "direct_relu": lambda: direct(Parameters(1.4), x, F.relu),
        "resnet18": lambda: resnet18(Parameters(1.0), x),
        "dino_query": lambda: dino(Parameters(0.8), x, "query"),
        "dino_flatten": lambda: dino(Parameters(0.8), x, "flatten"),
    }
    with torch.no_grad():
        for name, compute in regressions.items():
            out = compute()
            print(name + suffix, "mean", out.mean().item(), "deviation", out.std().item(), "between images",
                  (out[0] - out[1]).std().item())
            write(name + suffix, (("output", out.flatten().tolist()),))
        for width in (32, 8):
            out = unet(Parameters(1.2), x, width)
            print("unet", width, suffix, "deviation", out.std().item(), "between images",
                  (out[0] - out[1]).std().item())
            write_heatmaps(f"unet_{width}{suffix}", out)


def main():
    torch.manual_seed(0)
    os.makedirs(FOLDER, exist_ok=True)
    write_all(torch.from_numpy(numpy.stack([picture(i) for i in range(IMAGES)])[:, None]), "")
    if len(sys.argv) > 1:
        write_all(faces(sys.argv[1]), "_real")


if __name__ == "__main__":
    main()
