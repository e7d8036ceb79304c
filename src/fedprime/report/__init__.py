"""Reports: from finished runs to tables, comparisons and plots."""

from fedprime.report.collection import ReportError
from fedprime.report.single_run import plot_scenarios, scenario_table, traffic_table
from fedprime.report.writing import Report, default_output, write_report

__all__ = [
    "Report",
    "ReportError",
    "default_output",
    "plot_scenarios",
    "scenario_table",
    "traffic_table",
    "write_report",
]
