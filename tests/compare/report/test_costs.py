"""The training costs of a row, computed from the records of its runs."""

from __future__ import annotations

from transformers import GPT2Config, GPT2LMHeadModel

from compare.report import costs
from compare.ruler import flops
from compare.ruler.parameters import Parameters
from compare.runs.record import RunRecord
from tests.run_records import make_epoch, make_record


def make_run(epochs: int, **values: float) -> RunRecord:
    """Return a run of `epochs` epochs of 1,000 characters each."""
    last = make_epoch(number=epochs).model_copy(update={"characters_seen": epochs * 1000})
    return make_record(epochs=[make_epoch(), last], **values)


def test_every_cost_is_a_mean_over_runs_but_the_peak_of_memory() -> None:
    """The second run stopped early, after 2 of 4 epochs."""
    runs = [
        make_run(4, wall_seconds=50.0, characters_per_second=100, peak_memory_mb=700),
        make_run(2, wall_seconds=20.0, characters_per_second=140, peak_memory_mb=900),
    ]
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=2)
    )
    row = costs.costs(runs, [model, model], epoch_tokens=400)
    assert row == costs.Costs(
        trained_characters=3000,
        training_flops=flops.training_flops(model, 3 * 400),
        wall_seconds=35.0,
        characters_per_second=120.0,
        peak_memory_mb=900,
    )
    assert costs.costs(runs[::-1], [model, model], epoch_tokens=400) == row
    adapters = Parameters(total=1000, non_embedding=500, trained=100)
    lora = [run.model_copy(update={"parameters": adapters}) for run in runs]
    cheaper = costs.costs(lora, [model, model], epoch_tokens=400)
    assert cheaper.training_flops == flops.training_flops(model, 3 * 400, 100) < row.training_flops
