"""How each column is read, in words."""

from pathlib import Path

from fedprime.data.sets.table.table import open_table

TABLE = """\
text;preis;tag;farbe;label
ein langer Text;3,50;2024-01-02;rot;a
noch ein Text;1.234,5;2024-01-03;blau;b
""" + "".join(f"Text {row};{row},5;2024-02-03;rot;a\n" for row in range(18))


def test_each_column_is_told_with_examples_and_what_does_not_fit(tmp_path: Path):
    (tmp_path / "metadata.csv").write_text(TABLE + "Text;n/a;;rot;b\n")
    readings = open_table(str(tmp_path)).readings
    assert readings["preis"] == (
        "numbers with decimal comma (3,50, 1.234,5, 0,5); 1 taken for empty, being no number: n/a"
    )
    assert readings["tag"] == "dates, read as categories (2024-01-02, 2024-01-03, 2024-02-03); 1 empty"
    assert readings["farbe"] == "2 categories (rot, blau)"
    assert readings["text"].startswith("texts (ein langer Text, ")
