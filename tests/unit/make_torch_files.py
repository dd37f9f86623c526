#!/usr/bin/env python3
"""Makes the small PyTorch checkpoints of tests/unit/torch/, with the real torch.save where it still writes the
container and by hand, checked with the real torch.load, where it no longer does (tar). Needs python3-torch.

    tests/unit/make_torch_files.py tests/unit/torch

Every file but whole_model.pt holds, somewhere, the tensors of numbers(); test_torch.c knows their values by rule.
"""
import argparse
import collections
import io
import os
import pickle
import struct
import sys
import tarfile

import torch


def ramp(*shape, start=0.0, dtype=torch.float32):
    count = 1
    for side in shape:
        count *= side
    return (torch.arange(count, dtype=torch.float32) * 0.25 + start).reshape(shape).to(dtype)


def numbers():
    """name -> tensor: element types, a scalar, a transposed, a strided, an expanded and two shared tensors."""
    shared = ramp(6, start=1.0)
    wide = ramp(4, 6)
    return collections.OrderedDict([
        ("conv.weight", ramp(2, 1, 3, 3)),
        ("half", ramp(5, dtype=torch.float16)),
        ("brain", ramp(5, dtype=torch.bfloat16)),
        ("double", ramp(5, dtype=torch.float64)),
        ("long", torch.tensor([-3, 5], dtype=torch.int64)),
        ("byte", torch.tensor([0, 200], dtype=torch.uint8)),
        ("bool", torch.tensor([True, False])),
        ("bn.num_batches_tracked", torch.tensor(7)),
        ("transposed", ramp(2, 3).t()),
        ("strided", wide[1::2, ::3]),
        ("expanded", torch.tensor([[1.5], [2.5]]).expand(2, 3)),
        ("shared.a", shared),
        ("shared.b", shared[2:5]),
        ("empty", torch.zeros(0, 4)),
    ])


def tar_bytes(state, module_prefix=""):
    """The container of PyTorch 0.1.1, as torch.serialization's legacy_load reads it."""
    storages, tensors, ids = io.BytesIO(), io.BytesIO(), {}
    roots = collections.OrderedDict()
    for tensor in state.values():
        roots.setdefault(tensor.storage().data_ptr() if tensor.numel() else id(tensor), tensor)
    keys = {pointer: 400000000 + 16 * i for i, pointer in enumerate(roots)}
    pickle.dump(len(roots), storages, protocol=2)
    for pointer, tensor in roots.items():
        storage = tensor.storage()
        kind = getattr(torch, {torch.float32: "FloatStorage", torch.float16: "HalfStorage",
                               torch.bfloat16: "BFloat16Storage", torch.float64: "DoubleStorage",
                               torch.int64: "LongStorage", torch.uint8: "ByteStorage",
                               torch.bool: "BoolStorage"}[tensor.dtype])
        pickle.dump((keys[pointer], "cpu", kind), storages, protocol=2)
        elements = torch.tensor(storage.tolist(), dtype=tensor.dtype)
        storages.write(struct.pack("<q", len(elements)))
        storages.write(elements.view(torch.uint8).numpy().tobytes() if len(elements) else b"")
    pickle.dump([], storages, protocol=2)
    pickle.dump(len(state), tensors, protocol=2)
    for i, (name, tensor) in enumerate(state.items()):
        pointer = tensor.storage().data_ptr() if tensor.numel() else id(tensor)
        ids[name] = 500000000 + 16 * i
        pickle.dump((ids[name], keys[pointer], torch.FloatTensor), tensors, protocol=2)
        tensors.write(struct.pack("<ii", tensor.dim(), 7))
        tensors.write(struct.pack("<%dq" % tensor.dim(), *tensor.size()))
        tensors.write(struct.pack("<%dq" % tensor.dim(), *tensor.stride()))
        tensors.write(struct.pack("<q", tensor.storage_offset()))

    class Reference:
        def __init__(self, key):
            self.key = key

    class Pickler(pickle._Pickler):
        def persistent_id(self, obj):
            return str(obj.key) if isinstance(obj, Reference) else None

    body = io.BytesIO()
    Pickler(body, protocol=2).dump(collections.OrderedDict(
        (module_prefix + name, Reference(ids[name])) for name in state))
    system = pickle.dumps({"protocol_version": 1000, "little_endian": True,
                           "type_sizes": {"short": 2, "int": 4, "long": 4}}, protocol=2)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        for name, data in (("sys_info", system), ("pickle", body.getvalue()),
                           ("tensors", tensors.getvalue()), ("storages", storages.getvalue())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1483719550.5  # a fraction, so that a PaxHeader goes before each member
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def checkpoint(state):
    """What a training script saves: arguments, optimiser and state dict together."""
    weight = torch.nn.Parameter(ramp(3, 2))
    optimizer = torch.optim.Adam([weight], lr=1e-3)
    weight.grad = torch.ones(3, 2)
    optimizer.step()
    return {"epoch": 3, "args": argparse.Namespace(lr=1e-3, name="x"), "optimizer": optimizer.state_dict(),
            "best": torch.tensor(0.5), "losses": [0.5, 0.25], "seen": {"a", "b"},
            "state_dict": collections.OrderedDict(("module." + k, v) for k, v in state.items())}


def dino(state):
    """facebookresearch/dino's full checkpoint: a student wrapped for several GPUs, a teacher, a loss."""
    def network(offset, prefix):
        tensors = collections.OrderedDict((prefix + "backbone." + k, v + offset if v.is_floating_point() else v)
                                          for k, v in state.items())
        tensors[prefix + "head.mlp.0.weight"] = ramp(2, 2)
        return tensors
    return {"student": network(100.0, "module."), "teacher": network(0.0, ""), "epoch": 1,
            "dino_loss": {"center": ramp(1, 4)}, "args": argparse.Namespace(arch="vit_small")}


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    state = numbers()

    def save(name, value, **options):
        torch.save(value, os.path.join(folder, name), **options)

    save("state.zip.pt", state)
    save("state.legacy.pt", state, _use_new_zipfile_serialization=False)
    save("protocol4.zip.pt", state, pickle_protocol=4)
    save("protocol4.legacy.pt", state, pickle_protocol=4, _use_new_zipfile_serialization=False)
    save("plain_dict.zip.pt", dict(state))
    parameters = collections.OrderedDict((k, torch.nn.Parameter(v, requires_grad=False)) for k, v in state.items())
    save("parameters.zip.pt", parameters)
    save("checkpoint.zip.pt", checkpoint(state))
    save("checkpoint.legacy.pt", checkpoint(state), _use_new_zipfile_serialization=False)
    save("dino.zip.pt", dino(state))
    save("whole_model.zip.pt", torch.nn.Linear(2, 2))
    path = os.path.join(folder, "state.tar.pt")
    with open(path, "wb") as file:
        file.write(tar_bytes(state))
    loaded = torch.load(path)
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor), name


if __name__ == "__main__":
    main()
