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
from typing import cast

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
from compare.ruler.metrics import Metrics
from compare.runs import start as run_start
from compare.runs.record import Parameters
from compare.runs.writer import Run
from compare.signals import Interruption
from scratch_lm import distillation, parallel, token_cache
from scratch_lm.batches import epoch_batches, steps_per_epoch
from scratch_lm.copy_exercises import FIRST_DRILL_STEPS, Speakers, first_drills
from scratch_lm.distillation import Teacher
from scratch_lm.dropout import dropout_seed
from scratch_lm.journal import Journal
from scratch_lm.malloc import keep_freed_memory
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.optimizer import make_optimizers, set_learning_rate

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Inputs, targets and positions, (rows, context length) each."""
LOG_STEPS = 50
CLIP = 1.0  # largest gradient norm


def train(options: ScratchOptions) -> None:
    """Train, evaluate after every epoch, and save the best epoch's model."""
    device = choose_device(options.device)
    corpus = corpora.load(options.corpus)
    tokenizer, ids = prepare(corpus, options)
    teachers = distillation.load_teachers(options, corpus, tokenizer)
    parallel.join(device)
    torch.manual_seed(options.seed)
    model = build(options, tokenizer.eos_token_id)
    model.to(device)  # type: ignore[arg-type]  # transformers hides the signature of nn.Module.to
    optimizers = make_optimizers(model, options)

    run = parallel.first_then_others(
        lambda: start(model, corpus, options, teachers),
        lambda: run_start.join(Track.SCRATCH, run_name(options)),
    )
    if run.complete:
        return
    per_epoch = steps_per_epoch(len(ids), options)
    steps = options.epochs * per_epoch
    journal = Journal(run, model, optimizers, len(corpus.train), len(ids), per_epoch)
    progress = journal.progress
    run.begin(options, progress.characters_seen, progress.epochs)

    lessons = distillation.lessons(teachers, tokenizer.eos_token_id, ids) if teachers else None
    speakers = Speakers(ids, tokenizer) if options.rename else None
    keep_freed_memory()
    network = parallel.wrap(model)
    if options.compile:
        network = cast(nn.Module, torch.compile(network))
    interruption = Interruption()
    if options.drills and not progress.step:
        progress.seconds = drill(network, optimizers, options, steps, run, interruption)

    for epoch in range(progress.epochs + 1, options.epochs + 1):
        done = progress.step - (epoch - 1) * per_epoch  # steps before an interruption
        batches = epoch_batches(ids, tokenizer.eos_token_id, options, epoch, done, speakers)
        bar = progress_bar(batches, f"epoch {epoch}/{options.epochs}", per_epoch, done)
        journal.start_epoch()
        model.train()
        for inputs, targets, positions in bar:
            learning_rate = set_learning_rate(
                optimizers, progress.step, steps, options.warmup_steps
            )
            torch.manual_seed(dropout_seed(options.seed, progress.step, parallel.RANK))
            lesson = lessons.at(positions, targets) if lessons else None
            batch = inputs, targets, positions
            journal.count_step(*step(network, optimizers, *batch, options.precision, lesson))

            last = progress.step == epoch * per_epoch
            stop = interruption.anywhere()
            save = not last and (stop or progress.step % options.checkpoint_steps == 0)
            if progress.step % LOG_STEPS == 0 or save or last:
                journal.log(learning_rate, bar)
            if save:
                journal.save_checkpoint()
            if stop and not last:
                run.interrupt(stop)

        scores = evaluate(model, tokenizer, corpus)
        run.add_samples(sampling.samples(model, tokenizer, corpus, epoch, options.seed))
        journal.finish_epoch(scores)
        if stop and epoch < options.epochs:
            run.interrupt(stop)

    journal.restore_best()
    run.save_model(model, tokenizer)
    run.finish()


def step(
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    inputs: torch.Tensor,
    targets: torch.Tensor,
    positions: torch.Tensor,
    precision: str = "fp32",
    lesson: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[float, int, float]:
    """Update the weights once on a batch, whose tensors are (rows, context length) each.

    The loss is the mean over all targets.  A `lesson` of the teachers, if given, replaces a part of
    it.  Returns the nats of the targets that come from the text (`positions` >= 0), their number,
    and the norm of the gradient.

    Several processes share the rows.  DistributedDataParallel averages their gradients, which is to
    give the gradient of the whole batch's mean loss.  Each process therefore divides its sum by the
    whole batch's number of targets, and multiplies it by the number of processes.
    """
    counted = int((targets != IGNORED).sum())
    own = int(((targets != IGNORED) & (positions >= 0)).sum())
    device = next(network.parameters()).device
    inputs, targets, positions = (
        parallel.share(rows).to(device) for rows in (inputs, targets, positions)
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits = network(inputs).logits.float()
    nats = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    )
    loss = nats.sum()
    if lesson:
        tokens, probabilities = (parallel.share(rows).to(device) for rows in lesson)
        teachers_loss = distillation.nats(logits, targets, tokens, probabilities)
        loss = torch.lerp(loss, teachers_loss, distillation.TEACHERS_SHARE)
    (loss * (parallel.PROCESSES / counted)).backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP).item()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return parallel.sum_over_processes(nats.detach()[positions.flatten() >= 0].sum()), own, norm


def drill(
    network: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    options: ScratchOptions,
    steps: int,
    run: Run,
    interruption: Interruption,
) -> float:
    """Train on copying exercises alone, before the text, and return the seconds it took.

    The learning rate follows the beginning of a schedule of `steps` steps.  There is no checkpoint
    yet: if these steps are interrupted, training restarts from step 0.
    """
    began = time.perf_counter()
    bar = progress_bar(first_drills(options), "drills", FIRST_DRILL_STEPS)
    for number, (inputs, targets, positions) in enumerate(bar):
        set_learning_rate(optimizers, number, steps, options.warmup_steps)
        step(network, optimizers, inputs, targets, positions, options.precision)
        if stop := interruption.anywhere():
            run.interrupt(stop)
    return time.perf_counter() - began


def evaluate(model: ScratchLM, tokenizer: GPT2Tokenizer, corpus: corpora.Corpus) -> Metrics:
    """Score the validation split, in every process: all but the first would wait otherwise."""
    label = "validation" if parallel.FIRST else None
    return scoring.score(model, tokenizer, corpus.validation, label=label).metrics


def progress_bar(batches: Iterable[Batch], label: str, total: int, done: int = 0) -> tqdm:
    """A bar over `batches`, shown by the first process where there is a terminal."""
    disable = None if parallel.FIRST else True  # None: off where there is no terminal
    return tqdm(batches, label, total, initial=done, leave=label != "drills", disable=disable)


def prepare(corpus: corpora.Corpus, options: ScratchOptions) -> tuple[GPT2Tokenizer, np.ndarray]:
    """Tokenizer, and the token ids of the training split.

    Raises Misuse when the text is too short or too poor for the options.
    """
    try:
        tokenizer, ids = token_cache.load_or_train(
            corpus.train, options.vocabulary, options.context_length
        )
        scoring.require_window(tokenizer, corpus.validation, options.context_length)
    except ValueError as error:
        raise Misuse(f"--corpus {options.corpus}: {error}") from None
    return tokenizer, ids


def run_name(options: ScratchOptions) -> str:
    """The run's directory, within its track's."""
    return f"{options.preset}-seed{options.seed}"


def start(
    model: ScratchLM, corpus: corpora.Corpus, options: ScratchOptions, teachers: list[Teacher]
) -> Run:
    """The run to write to: a new one, or the one to be resumed."""
    parameters = flops.parameters(model)
    run = run_start.start(
        Track.SCRATCH,
        run_name(options),
        options,
        corpus,
        command=cli.command_line(Track.SCRATCH.command, options, PRESETS),
        preset=RowKind(options.preset),
        teachers_sha256=[teacher.weights_sha256 for teacher in teachers],
        parameters=Parameters(**parameters),
    )
    print(f"{run.path}: {run.state}; {parameters['total']:,} parameters, from {corpus.source}")
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
