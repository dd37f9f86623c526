#!/usr/bin/env python3
"""What test_kernels prints with --bench json is one document whose rows are whole.

    bench_json.py TEST_KERNELS"""
import json
import subprocess
import sys

KEYS = {"kernel": str, "microseconds": float, "rate": float, "unit": str, "share": float, "ceiling": str}
CEILINGS = {"multiply_add_gflops", "cache_read_gbs", "cache_copy_gbs", "cache_sum_gbs", "memory_read_gbs", "memory_copy_gbs"}
OF_UNIT = {"GFLOP/s": ("multiply-add",), "GB/s": ("cache", "memory read")}
KERNELS = {"activate": ("copy", "gelu", "scale_shift"), "layer_norm": ("softmax of 197",), "gemm": ()}

for family, kernels in KERNELS.items():
    text = subprocess.run([sys.argv[1], "portable", "--bench", "json", family], stdout=subprocess.PIPE, check=True).stdout
    document = json.loads(text)
    assert document["cpu"] == "portable", document["cpu"]
    assert set(document["ceilings"]) == CEILINGS, document["ceilings"]
    assert all(rate > 0 for rate in document["ceilings"].values()), document["ceilings"]
    assert document["rows"], family
    for row in document["rows"]:
        assert set(row) == set(KEYS) and all(isinstance(row[key], kind) for key, kind in KEYS.items()), row
        assert row["microseconds"] > 0 and row["rate"] > 0 and row["ceiling"] in OF_UNIT[row["unit"]], row
    assert set(kernels) <= {row["kernel"] for row in document["rows"]}, (kernels, document["rows"])
