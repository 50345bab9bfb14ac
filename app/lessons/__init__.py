"""The lessons of the Learn tab: recorded data and what is told from it. Only the recorders import torch."""
