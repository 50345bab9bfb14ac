"""Reports: from runs to tables, figures and one page. Free of torch and of the app, which shows the same."""

from tinylab.reports.table import Column, Row, Table

__all__ = ["Column", "Row", "Table"]
