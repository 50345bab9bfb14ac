"""Results of evaluate and cost runs in the shape in which those jobs store them, with round numbers."""

from __future__ import annotations

from typing import Any

__all__ = ["COST", "evaluation", "score"]


def score(value: float, *, biased: bool = False) -> dict[str, Any]:
    """A score with an interval of a tenth to both sides."""
    return {"value": value, "low": 0.9 * value, "high": 1.1 * value, "biased": biased}


def evaluation(*, steps: int = 50, fid: float = 1.0, names: tuple[str, ...] = ("full", "half")) -> dict[str, Any]:
    """Two models of twelve and six blocks, drawn in `steps` steps."""
    setting = {"sampler": "ddpm", "steps": steps, "guidance": 1.5, "guidance_schedule": "auto"}
    setting |= {"temperature": 1.0, "cache": "none", "seed": 0, "classes": 10}
    rows = [
        {
            **{"label": name, "source": name, "drawn": True, "images": 1000, "setting": setting},
            **{"depth": {"blocks": 12 // (i + 1)}, "parameters": 1200 // (i + 1), "seconds_per_image": 0.02 / (i + 1)},
            **{"scores": {"fid": score(fid * (i + 1), biased=True), "accuracy": score(0.8 - 0.1 * i)}},
            **{"npz": f"images-{i}.npz", "png": f"images-{i}.png"},
        }
        for i, name in enumerate(names)
    ]
    return {
        "reference": {"name": "digits", "images": 1797, "hash": "0123456789ab"},
        "extractor": {"name": "digit-reader", "hash": "ba9876543210", "features": 128},
        "rows": rows,
        "floor": {"images": [899, 898], "scores": {"fid": score(0.25, biased=True)}},
        "warnings": ["FID is biased."],
    }


def _model(label: str, blocks: int, cache: str | None = None) -> dict[str, Any]:
    parts = {"blocks": 100 * blocks, "embedders": 20, "head": 10, "total": 100 * blocks + 30}
    kind = "cache" if cache else "full" if blocks == 12 else "shallow"
    model = {"label": label, "source": label, "kind": kind, "cache": cache, "depth": {"blocks": blocks}}
    return {**model, "parameters": parts, "macs": {name: 1000 * count for name, count in parts.items()}}


def _row(model: int, batch: int, seconds: float, speedup: float, limit: float | None) -> dict[str, Any]:
    return {
        **{"model": model, "batch": batch, "steps": 20, "seconds": seconds, "low": 0.9 * seconds},
        **{"high": 1.2 * seconds, "rounds": 7, "images_per_second": batch / seconds, "peak_bytes": 2**20 * batch},
        **{"speedup": speedup, "limit": limit, "expected": None if limit is None else 0.95 * limit},
    }


COST: dict[str, Any] = {
    "machine": {
        **{"device": "cpu", "name": "a CPU", "cores": 2, "threads": 1, "torch": "2.13.0", "precision": "float32"}
    },
    "sampling": {"family": "dit", "sampler": "ddpm", "guidance": 1.5},
    "models": [_model("full", 12), _model("even", 6), _model("full", 12, "interval:2")],
    "rows": [
        *(
            _row(model, 1, 0.1 / speed, speed, limit)
            for model, speed, limit in ((0, 1, 1), (1, 1.5, 2), (2, 1.8, None))
        ),
        *(
            _row(model, 16, 1.6 / speed, speed, limit)
            for model, speed, limit in ((0, 1, 1), (1, 1.9, 2), (2, 1.7, None))
        ),
    ],
    "shares": {"blocks": 0.97, "embedders": 0.01, "head": 0.01, "rest": 0.01},
    "equal_seconds": {
        **{"seconds_per_image": 0.05, "extractor": "digit-reader", "images": 200},
        "rows": [
            {"label": "even", "steps": 20, "seconds_per_image": 0.05, "scores": {"fid": score(2.0)}},
            {"label": "full", "steps": 10, "seconds_per_image": 0.051, "scores": {"fid": score(4.0)}},
        ],
    },
}
