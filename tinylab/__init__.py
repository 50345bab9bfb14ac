"""Tinylab: learn which layers of a diffusion transformer to keep, cut the rest, recover the quality.

Layers of the package; an import may only point to the left:

    files, config <- data <- models, diffusion <- pruning, sampling, metrics <- training <- runs <- jobs
    <- launch, archive <- figures <- reports <- bench, verify <- cli

What is not named (errors, paths, registry, presets, seeds, processes, distributed, torchvision_ops) lies below all of
them.

Importing `tinylab` is light: torch loads when a model is touched.
"""

from tinylab.torchvision_ops import declare_when_imported

__version__ = "0.1.0"

declare_when_imported()
