"""A DiT-XL/2 at full size, with random weights: saved, loaded, pruned and saved again in bounded memory."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tinylab.models.catalog import describe_model

NEEDED = 12 * 2**30  # bytes of disk: the model twice, and what is written beside it before a rename
LIMIT = 24 * 2**30
FULL, HALF = 675_129_632, 340_457_504

_SCRIPT = """
import json, resource, sys
from pathlib import Path

from tinylab.cli import main
from tinylab.models.load import save_model, sketch
from tinylab.models.families import FAMILIES
from tinylab.models.sizes import SIZES

def save():
    import torch
    size = SIZES["DiT-XL/2"]
    model = sketch(FAMILIES[size.family], size.config).to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-0.02, 0.02)
    save_model(model, Path("full"), card="# DiT-XL/2 with random weights")

save()
status = main(["prune", "--model", "full", "--method", "oracle", "--out", "half", "--json", "--quiet"])
print(json.dumps({"status": status, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


@pytest.mark.slow
def test_full_size_dit_is_cut_to_half_its_depth_in_bounded_memory(tmp_path: Path) -> None:
    for what, free in (("disk", shutil.disk_usage(tmp_path).free), ("memory", psutil.virtual_memory().available)):
        if free < NEEDED:
            pytest.skip(f"{free / 2**30:.0f} GiB of {what} are free, {NEEDED / 2**30:.0f} are needed")
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, cwd=tmp_path, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        result, usage = (json.loads(line) for line in done.stdout.splitlines()[-2:])
        assert usage["status"] == 0
        assert (result["parameters_full"], result["parameters"]) == (FULL, HALF)
        assert usage["peak"] < LIMIT
        shallow = describe_model(str(tmp_path / "half"))
        assert (shallow.parameters, shallow.depth, shallow.full_depth) == (HALF, {"blocks": 14}, {"blocks": 28})
        assert shallow.kept == {"blocks": [*range(0, 14, 2), *range(15, 28, 2)]}
        print(f"peak memory {usage['peak'] / 2**30:.1f} GiB")
    finally:
        for name in ("full", "half"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
