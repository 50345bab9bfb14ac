"""How like real pictures samples are: FID, sFID, KID, Inception Score, precision, recall and class accuracy.

Pictures become `features` through one of the `extractors`; those of real pictures come from a `reference` and are kept
on disk; `scores` compares the two; `settings` tells which scores may stand in one column. The names of the scores and
what is known of their settings need no torch.
"""
