"""What trackers are told is plain: names, numbers, a table."""

from fedprime.runs.tracker import TrackedTable


def test_the_final_table_is_a_table_in_markdown():
    table = TrackedTable(("test scenario", "accuracy"), [("full", 0.5), ("miss any", 0.25)])
    assert table.markdown().splitlines() == [
        "| test scenario | accuracy |",
        "| :-- | --: |",
        "| full | 0.5 |",
        "| miss any | 0.25 |",
    ]


def test_a_bar_in_a_cell_does_not_end_the_cell():
    assert TrackedTable(("name",), [("Action|Drama",)]).markdown().splitlines()[-1] == "| Action\\|Drama |"
