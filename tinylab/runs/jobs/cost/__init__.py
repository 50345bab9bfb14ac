"""The job that measures what models cost."""

from tinylab.runs.jobs.cost.job import run

__all__ = ["run"]
