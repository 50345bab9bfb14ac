"""The job that measures what models cost."""
