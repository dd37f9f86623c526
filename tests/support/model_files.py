#!/usr/bin/env python3
"""Small models as safetensors files, in plain Python: real networks, but narrow, with weights from a seed.

    model_files.py unet|dino FILE [KEY=VALUE ...]      the pairs go into the metadata
"""
import array
import json
import math
import random
import struct
import sys

KEYPOINTS = 68


def write_safetensors(path, tensors, metadata):
    """tensors: name -> (shape, array of floats)."""
    header, offset = {"__metadata__": metadata}, 0
    for name, (shape, values) in tensors.items():
        size = 4 * len(values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors.values():
            file.write(values.tobytes())


class Builder:
    def __init__(self, seed):
        self.random, self.tensors = random.Random(seed), {}

    def add(self, name, *shape, spread=None, value=None):
        count = math.prod(shape)
        if spread is None:
            spread = math.sqrt(2.0 / max(1, count // shape[0]))
        values = [value] * count if value is not None else [self.random.gauss(0, spread) for _ in range(count)]
        self.tensors[name] = (list(shape), array.array("f", values))

    def layer(self, name, *shape):
        self.add(name + ".weight", *shape)
        self.add(name + ".bias", shape[0], spread=0.1)

    def norm(self, name, channels, buffers=True):
        self.add(name + ".weight", channels, value=1.0)
        self.add(name + ".bias", channels, spread=0.1)
        if buffers:
            self.add(name + ".running_mean", channels, spread=0.1)
            self.add(name + ".running_var", channels, value=1.0)


def unet(width=2, seed=1):
    build = Builder(seed)

    def double_convolution(name, inputs, outputs):
        for half, channels in ((0, inputs), (4, outputs)):
            build.layer("%s.%d" % (name, half), outputs, channels, 3, 3)
            build.norm("%s.%d" % (name, half + 1), outputs)

    double_convolution("inc", 1, width)
    for i in range(4):
        double_convolution("down.%d" % i, width << i, width << (i + 1))
    for i in range(4):
        channels = width << (3 - i)
        build.add("up.%d.weight" % i, 2 * channels, channels, 2, 2)
        build.add("up.%d.bias" % i, channels, spread=0.1)
        double_convolution("upconv.%d" % i, 2 * channels, channels)
    build.layer("outc", KEYPOINTS, width, 1, 1)
    return build.tensors, {"architecture": "unet"}


def dino(dimension=64, depth=1, side=224, seed=1):
    build, tokens = Builder(seed), (side // 16) ** 2
    build.add("cls_token", 1, 1, dimension, spread=0.02)
    build.add("pos_embed", 1, tokens + 1, dimension, spread=0.5)
    build.layer("patch_embed.proj", dimension, 1, 16, 16)
    for i in range(depth):
        block = "blocks.%d." % i
        build.norm(block + "norm1", dimension, buffers=False)
        build.layer(block + "attn.qkv", 3 * dimension, dimension)
        build.layer(block + "attn.proj", dimension, dimension)
        build.norm(block + "norm2", dimension, buffers=False)
        build.layer(block + "mlp.fc1", 4 * dimension, dimension)
        build.layer(block + "mlp.fc2", dimension, 4 * dimension)
    build.norm("norm", dimension, buffers=False)
    build.add("query", KEYPOINTS, dimension, spread=1.0)
    build.layer("fc", 2, dimension)
    return build.tensors, {"architecture": "dino"}


def main():
    tensors, metadata = {"unet": unet, "dino": dino}[sys.argv[1]]()
    metadata.update(pair.split("=", 1) for pair in sys.argv[3:])
    write_safetensors(sys.argv[2], tensors, metadata)


if __name__ == "__main__":
    main()
