"""Reports: from finished runs to tables, comparisons and plots."""
