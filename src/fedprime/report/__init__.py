"""Reports: from finished runs to tables, comparisons and plots."""

from fedprime.report.single_run import plot_scenarios, scenario_table

__all__ = ["plot_scenarios", "scenario_table"]
