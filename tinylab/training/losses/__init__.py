"""Losses of recovery: what a shallow student is taught by the model that it was cut from."""
