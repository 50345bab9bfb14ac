"""The tabs of the lab, in order. A new one is a file here and a line below."""

from app.tabs import compare, finetune, generate, learn, load, measure, runs, search

__all__ = ["TABS"]

TABS = (learn, load, search, compare, finetune, generate, measure, runs)
