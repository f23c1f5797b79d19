"""Train a small decoder-only language model from scratch, with a hand-written loop.

    python -m scratch_lm.train                          # the course's reference model, 5 epochs
    python -m scratch_lm.train --preset tuned           # the best found within 5 minutes
    python -m scratch_lm.train --corpus my-novel.txt    # your own text
    python -m scratch_lm.train --resume                 # go on after an interruption
    torchrun --nproc-per-node 2 -m scratch_lm.train     # several processes, the same losses

Writes `runs/scratch_lm/<preset>-seed<seed>/`; see `compare.runs` for what is in it.
"""

from compare import cli
from scratch_lm.config import PRESETS, ScratchOptions

if __name__ == "__main__":  # before torch is imported, so that --help answers at once
    options = cli.parse(ScratchOptions, PRESETS)

import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import GPT2Tokenizer

from compare import corpus as corpora
from compare.corpus.blocks import IGNORED
from compare.device import choose_device
from compare.errors import Misuse
from compare.kinds import RowKind, Track
from compare.ruler import flops, sampling, scoring
from compare.runs import models
from compare.runs import start as run_start
from compare.runs.record import Parameters
from compare.runs.writer import Run
from compare.signals import Interruption
from scratch_lm import distillation, parallel
from scratch_lm.batches import epoch_batches, steps_per_epoch
from scratch_lm.cache import encoded
from scratch_lm.checkpoint import Progress, load_checkpoint, save_checkpoint
from scratch_lm.copying import FIRST_STEPS, Speakers, first_drills
from scratch_lm.dropout import dropout_seed
from scratch_lm.journal import Journal
from scratch_lm.malloc import keep_freed_memory
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.optimizer import optimizers as make_optimizers
from scratch_lm.optimizer import set_learning_rate

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Inputs, targets and places, (rows, context length) each."""
LOG_STEPS = 50
CLIP = 1.0  # largest gradient norm


def train(options: ScratchOptions) -> None:
    """Train, evaluate after every epoch, and save the best epoch's model."""
    device = choose_device(options.device)
    corpus = corpora.load(options.corpus)
    tokenizer, ids = prepare(corpus, options)
    teachers = distillation.folders(options, corpus, tokenizer)
    parallel.join(device)
    torch.manual_seed(options.seed)
    model = build(options, tokenizer.eos_token_id).to(device)
    optimizers = make_optimizers(model, options)

    run = parallel.first_then_others(
        lambda: start(model, corpus, options, teachers),
        lambda: run_start.join(Track.SCRATCH, run_name(options))[0],
    )
    if run.complete:
        return
    checkpoint, best = run.checkpoint / "state.safetensors", run.checkpoint / "best.safetensors"
    resumed = checkpoint.exists()
    progress = load_checkpoint(checkpoint, model, optimizers) if resumed else Progress()
    run.begin(options, progress.characters_seen, progress.epochs)

    lessons = distillation.lessons(teachers, tokenizer.eos_token_id, ids) if teachers else None
    speakers = Speakers(ids, tokenizer) if options.rename else None
    keep_freed_memory()
    network = parallel.wrapped(model)
    if options.compile:
        network = torch.compile(network)
    per_epoch = steps_per_epoch(len(ids), options)
    steps = options.epochs * per_epoch
    interruption = Interruption()
    journal = Journal(run, progress, len(corpus.train), len(ids), per_epoch)
    if options.drills and not progress.step:
        progress.seconds = drill(network, optimizers, options, steps, run, interruption)

    for epoch in range(progress.epochs + 1, options.epochs + 1):
        done = progress.step - (epoch - 1) * per_epoch  # steps, before an interruption
        batches = epoch_batches(ids, tokenizer.eos_token_id, options, epoch, done, speakers)
        bar = progress_bar(batches, f"epoch {epoch}/{options.epochs}", per_epoch, done)
        journal.start_epoch()
        model.train()
        for inputs, targets, places in bar:
            learning_rate = set_learning_rate(
                optimizers, progress.step, steps, options.warmup_steps
            )
            torch.manual_seed(dropout_seed(options.seed, progress.step, parallel.RANK))
            lesson = lessons.at(places, targets) if lessons else None
            batch = inputs, targets, places
            journal.count_step(*step(network, optimizers, *batch, options.precision, lesson))

            last = progress.step == epoch * per_epoch
            stop = interruption.anywhere()
            save = not last and (stop or progress.step % options.checkpoint_steps == 0)
            if progress.step % LOG_STEPS == 0 or save or last:
                journal.log(learning_rate, bar)
            if save and run.writes:
                save_checkpoint(checkpoint, model, optimizers, progress)
            if stop and not last:
                run.interrupt(stop)

        if run.writes:
            score = scoring.score(model, tokenizer, corpus.validation, label="validation")
            run.add_samples(sampling.samples(model, tokenizer, corpus, epoch, options.seed))
            journal.finish_epoch(score.metrics)
            if run.record.best_epoch == epoch:
                save_checkpoint(best, model, [], progress)
            save_checkpoint(checkpoint, model, optimizers, progress)
        if stop and epoch < options.epochs:
            run.interrupt(stop)

    if run.writes:
        load_checkpoint(best, model, [])
        run.save_model(model, tokenizer)
        run.finish()


def step(
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    places: torch.Tensor,
    precision: str = "fp32",
    lesson: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[float, int, float]:
    """One update on a batch, (rows, context length) each.

    Returns the nats of the targets that are the text's own (`places` >= 0), their number, and the
    gradient's norm.  All targets make the loss; a `lesson`, where there is one, has its share.

    Several processes share the rows.  Gradients are averaged over processes, and their mean is to
    be that of the whole batch's mean loss, so each process's part counts as often as there are
    processes.
    """
    counted = int((targets != IGNORED).sum())
    own = int(((targets != IGNORED) & (places >= 0)).sum())
    device = next(network.parameters()).device
    inputs, targets, places, *lesson = (
        parallel.share(rows).to(device) for rows in (inputs, targets, places, *(lesson or ()))
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = network(inputs).logits.float()
    nats = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    loss = nats.sum()
    if lesson:
        loss = torch.lerp(loss, distillation.nats(logits, targets, *lesson), distillation.SHARE)
    (loss * (parallel.PROCESSES / counted)).backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP).item()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return parallel.total(nats.detach()[places.flatten() >= 0].sum()), own, norm


def drill(
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    options: ScratchOptions,
    steps: int,
    run: Run,
    interruption: Interruption,
) -> float:
    """Train on exercises in copying alone, before the text; returns the seconds it took.

    The learning rate follows the schedule of a training of so many `steps` from its beginning.
    There is no checkpoint yet: an interrupted training restarts from step 0.
    """
    began = time.perf_counter()
    for number, batch in enumerate(progress_bar(first_drills(options), "drills", FIRST_STEPS)):
        set_learning_rate(optimizers, number, steps, options.warmup_steps)
        step(network, optimizers, *batch, options.precision)
        if stop := interruption.anywhere():
            run.interrupt(stop)
    return time.perf_counter() - began


def progress_bar(batches: Iterable[Batch], label: str, total: int, done: int = 0) -> tqdm:
    """A bar over `batches`, shown by the first process where there is a terminal."""
    disable = None if parallel.FIRST else True  # None: off where there is no terminal
    return tqdm(batches, label, total, initial=done, leave=label != "drills", disable=disable)


def prepare(corpus: corpora.Corpus, options: ScratchOptions) -> tuple[GPT2Tokenizer, np.ndarray]:
    """Tokenizer, and the token ids of the training split.

    Raises Misuse when the text is too short or too poor for the options.
    """
    try:
        tokenizer, ids = encoded(corpus.train, options.vocabulary, options.context_length)
        scoring.require_window(tokenizer, corpus.validation, options.context_length)
    except ValueError as error:
        raise Misuse(f"--corpus {options.corpus}: {error}") from None
    return tokenizer, ids


def run_name(options: ScratchOptions) -> str:
    """The run's directory, within its track's."""
    return f"{options.preset}-seed{options.seed}"


def start(
    model: ScratchLM, corpus: corpora.Corpus, options: ScratchOptions, teachers: list[Path]
) -> Run:
    """The run to write to: a new one, or the one to be resumed."""
    parameters = flops.parameters(model)
    run, state = run_start.start(
        Track.SCRATCH,
        run_name(options),
        options,
        corpus,
        preset=RowKind(options.preset),
        teachers_sha256=[models.weights_sha256(folder) for folder in teachers],
        parameters=Parameters(**parameters),
    )
    print(f"{run.path}: {state}; {parameters['total']:,} parameters, from {corpus.source}")
    return run


def build(options: ScratchOptions, end_of_text: int) -> ScratchLM:
    """The model, with random weights."""
    return ScratchLM(
        ScratchConfig(
            vocab_size=options.vocabulary,
            max_position_embeddings=options.context_length,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            hidden_size=options.width,
            intermediate_size=options.feed_forward,
            dropout=options.dropout,
            distance_bias=options.distance_bias,
            smeared_keys=options.smeared_keys,
            initializer_range=options.init_std,
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
        )
    )


if __name__ == "__main__":
    cli.run(train, options)
