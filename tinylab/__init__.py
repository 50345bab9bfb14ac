"""Tinylab: learn which layers of a diffusion transformer to keep, cut the rest, recover the quality.

Layers of the package; an import may only point to the left:

    config, data <- models, diffusion <- pruning, sampling, metrics <- training <- runs, verify <- figures <- cli, bench

What is not named (errors, registry, paths, atomic, interpreter, presets, tensor_file) lies below all of them.

Importing `tinylab` is light: torch loads when a model is touched.
"""

__version__ = "0.1.0"
