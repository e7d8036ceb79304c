"""Clients of rows: of a column that is named or has a usual name; rows without one are a client of their own."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.site_columns import NO_COLUMN, site_words, sites_of
from fedprime.data.sources import DataError


def test_a_column_with_a_usual_name_is_found_unless_none_is_meant(tmp_path: Path) -> None:
    pd.DataFrame({"site": ["b", "a"], "ward": ["x", "y"]}).to_csv(tmp_path / "metadata.csv", index=False)
    parts = open_parts(str(tmp_path))
    assert site_words("", parts) == ["b", "a"]
    assert site_words("ward", parts) == ["x", "y"]
    assert site_words(NO_COLUMN, parts) is None
    with pytest.raises(DataError, match="no column 'wards'"):
        site_words("wards", parts)


def test_rows_without_a_client_are_one(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        numbers, names = sites_of(["b", None, "a", "b"], np.array([0, 1, 3]))
    assert (numbers.tolist(), names) == ([1, 0, 1], ("(none)", "b"))
    assert "1 row without a client" in caplog.text
    assert sites_of(None, np.array([0, 1]))[1] == ()
