"""A data frame, trained on as if its hospitals could not share it: photos, texts, and holes in both.

    python examples/data_frame.py

The rows are made up (dishes of the built-in world); yours may be a data frame of pandas with paths, images of PIL,
texts and numbers. It prints what the predictor knows of new rows with all that is there, and without their photos.
"""

import math

import torch

import fedprime


def rows_of_dishes(num_rows: int) -> list[dict[str, object]]:
    """Returns rows as a person has them; every fourth lacks its photo, every fifth its text."""
    world = fedprime.open_data("builtin", num_train=num_rows, num_validation=1, num_test=1, num_classes=4, num_sites=3)
    rows: list[dict[str, object]] = []
    for index in range(num_rows):
        seen = world.read(index, ("image", "text"))
        rows.append(
            {
                "photo": None if index % 4 == 1 else seen["image"],
                "note": math.nan if index % 5 == 0 else seen["text"],
                "hospital": f"hospital {world.sites[index]}",
                "dish": world.label_names[int(world.labels[index])],
            }
        )
    return rows


def main() -> None:
    """Trains on most of the rows and asks about the others."""
    torch.set_num_threads(1)
    rows = [row for row in rows_of_dishes(330) if row["photo"] is not None or isinstance(row["note"], str)]
    known, new = rows[:250], rows[250:]

    predictor = fedprime.FederatedPredictor(label="dish", client="hospital", backbone="tiny", rounds=3)
    predictor.fit(known)
    with_text = [row for row in new if isinstance(row["note"], str)]
    print("classes:", *predictor.classes_)
    print("the first three:", *predictor.predict(new[:3]))
    print(f"all that is there: {predictor.evaluate(new).accuracy:.3f}")
    print(f"without photos:    {predictor.evaluate(with_text, without=['image']).accuracy:.3f}")


if __name__ == "__main__":
    main()
