"""Prune one model by several methods, fine-tune each by one recipe with several seeds, and measure all alike.

A cell is a method and a seed. Every cell has a folder among the checkpoints of the run:

plan.json    what the method chose        search/   checkpoints of the mask search, while it is at work
cell.json    what the cell came to        tuning/   checkpoints of the fine-tuning, while it is at work
"""
