"""Validation losses after each epoch, as a card's table of epochs shows them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compare.verify.tables import read_number, table_cells

# 3, 2.99 or "3 (this model)"; not so many digits that no float can hold them.
EPOCH = re.compile(r"\d{1,6}(\.\d+)?(?= |$)")
VALIDATION_LOSS = r"(val|eval)[a-z]*[ _]loss"
TRAINING_LOSS = r"train[a-z]*[ _]loss|^loss$"
BEFORE_TRAINING = re.compile("before|zero[- ]?shot|untrained")


@dataclass(frozen=True)
class LossCurve:
    """The validation losses of a training run, as a table of epochs shows them."""

    before: float | None
    """The validation loss before training; None if it is not there."""
    losses: list[float]
    """The validation loss after each epoch that is in the table."""
    epochs: float
    """How many there were, in all; 2.8 if the table ends within the third."""


@dataclass(frozen=True)
class _Row:
    """A row of a table of epochs."""

    epoch: float
    label: str
    """What the cell of the epoch says."""
    validation: float | None
    training: float | None
    """The losses; None if there is none."""


def loss_curves_of_card(body: str) -> list[LossCurve]:
    """Return what a card's first table of epochs may mean; [] if there is no such table.

    Only whole epochs have a loss.  A Trainer's table may also have rows such as 0.5, and 2.99 for
    the end of epoch 3, if its last batch was incomplete.  Of several rows for the same epoch, such
    as 0.96 and 1.0, the last counts.  The rows may be in any order, such as the newest first.

    Epoch 0 may be the state before training, or the first epoch of a loop that counts from 0.  If
    the table does not show which, both curves are returned.
    """
    rows = sorted(_rows_of_epochs(body), key=lambda row: row.epoch)
    losses: dict[int, float] = {}
    for row in rows:
        epoch = _whole(row.epoch)
        if epoch is not None and row.validation is not None:
            losses[epoch] = row.validation
    if not losses:
        return []
    last = max(row.epoch for row in rows)
    last = last if _whole(last) is None else round(last)
    after_zero = [loss for epoch, loss in losses.items() if epoch > 0]
    zero_is_before = LossCurve(losses.get(0), after_zero, last)
    zero_is_first = LossCurve(None, list(losses.values()), last + 1)
    if all(row.epoch > 0 for row in rows):
        curves = [zero_is_before]
    elif (is_before := _is_before_training(rows)) is None:
        curves = [zero_is_before, zero_is_first]
    else:
        curves = [zero_is_before if is_before else zero_is_first]
    return curves if all(curve.losses for curve in curves) else []


def _is_before_training(rows: list[_Row]) -> bool | None:
    """Return whether epoch 0 is the state before training, which has no training loss.

    None if the table does not show it.
    """
    zero = [row for row in rows if row.epoch == 0]
    if any(BEFORE_TRAINING.search(row.label) for row in zero):
        return True
    if any(row.training is not None for row in zero):
        return False
    return True if any(row.training is not None for row in rows) else None


def _whole(epoch: float) -> int | None:
    """Return the epoch at whose end `epoch` is, or None if it is within one."""
    if epoch == 0:
        return 0
    return round(epoch) if epoch > 0.5 and abs(epoch - round(epoch)) < 0.05 else None


def _rows_of_epochs(body: str) -> list[_Row]:
    """Return the rows of the first table in `body` with epochs and validation losses."""
    header: list[str] = []
    rows = []
    for line in body.lower().splitlines():
        cells = [cell.strip("*_` ") for cell in table_cells(line)]
        if not header:
            if "epoch" in cells and _column(VALIDATION_LOSS, cells) is not None:
                header = cells
            continue
        if not cells:
            break  # the end of the table
        cells += [""] * (len(header) - len(cells))
        label = cells[header.index("epoch")]
        if number := EPOCH.match(label):
            validation = _column(VALIDATION_LOSS, header)
            training = _column(TRAINING_LOSS, header)
            rows.append(
                _Row(
                    float(number[0]),
                    label,
                    None if validation is None else read_number(cells[validation])[0],
                    None if training is None else read_number(cells[training])[0],
                )
            )
    return rows


def _column(pattern: str, header: list[str]) -> int | None:
    """Return the first column in whose header `pattern` is found; None if there is none."""
    return next((i for i, cell in enumerate(header) if re.search(pattern, cell)), None)
