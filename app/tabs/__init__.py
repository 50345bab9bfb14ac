"""The tabs of the lab, in order. A new one is a file here and a line below."""

from app.tabs import compare, finetune, generate, learn, load, measure, search

__all__ = ["TABS"]

TABS = (learn, load, search, compare, finetune, generate, measure)
