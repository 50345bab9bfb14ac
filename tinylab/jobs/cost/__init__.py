"""The job that measures what models cost."""

from tinylab.jobs.cost.measure import run

__all__ = ["run"]
