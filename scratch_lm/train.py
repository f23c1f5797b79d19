"""Train a small decoder-only language model from scratch, with a hand-written loop.

    python -m scratch_lm.train                          # the course's reference model, 5 epochs
    python -m scratch_lm.train --preset tuned           # the best found within 5 minutes
    python -m scratch_lm.train --corpus my-novel.txt    # your own text
    python -m scratch_lm.train --resume                 # go on after an interruption

Writes `runs/scratch_lm/<preset>-seed<seed>/`; see `compare.runs` for what is in it.
"""

from compare import cli
from scratch_lm.config import PRESETS, ScratchOptions

if __name__ == "__main__":  # before torch is imported, so that --help answers at once
    options = cli.parse(ScratchOptions, PRESETS)


import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import GPT2Tokenizer

from compare import corpus as corpora
from compare import runs, sampling, scoring, tracking
from compare.blocks import IGNORED
from scratch_lm.batches import epoch_batches, steps_per_epoch
from scratch_lm.checkpoint import Progress, load_checkpoint, save_checkpoint
from scratch_lm.meter import Meter
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.optimizer import optimizers, set_learning_rate
from scratch_lm.tokenizer import train_tokenizer

LOG_STEPS = 50
CLIP = 1.0  # largest gradient norm


def train(options: ScratchOptions) -> runs.Run:
    """Train, evaluate after every epoch, and save the best epoch's model."""
    corpus = corpora.load(options.corpus)
    tokenizer, ids = prepare(corpus, options)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    model = build(tokenizer, options).to(device)
    made = optimizers(model, options)

    total = model.num_parameters()
    run, state = runs.start(
        "scratch_lm",
        f"{options.preset}-seed{options.seed}",
        options,
        corpus,
        preset=options.preset,
        parameters={"total": total, "non_embedding": total - options.embedding_parameters},
    )
    print(f"{run.path}: {state}; {total:,} parameters, {len(ids):,} tokens from {corpus.source}")
    if state == "complete":
        return run
    checkpoint, best = run.checkpoint / "state.safetensors", run.checkpoint / "best.safetensors"
    progress = load_checkpoint(checkpoint, model, made) if checkpoint.exists() else Progress()
    run.rewind(progress.characters_seen, progress.epochs)
    run.tracker = tracking.Tracker(run, options)

    per_epoch = steps_per_epoch(len(ids), options)
    steps = options.epochs * per_epoch
    for epoch in range(progress.epochs + 1, options.epochs + 1):
        batches = epoch_batches(ids, tokenizer.eos_token_id, options, epoch)
        done = progress.step - (epoch - 1) * per_epoch
        bar = tqdm(batches[done:], f"epoch {epoch}/{options.epochs}", per_epoch, initial=done,
                   disable=None)  # fmt: skip
        meter = Meter()
        model.train()
        for inputs, targets in bar:
            logits = model(inputs.to(device)).logits
            targets = targets.to(device)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            learning_rate = set_learning_rate(made, progress.step, steps, options.warmup_steps)
            for optimizer in made:
                optimizer.step()
                optimizer.zero_grad()

            progress.step += 1
            meter.add(loss.item(), int((targets != IGNORED).sum()))
            last = progress.step == epoch * per_epoch
            keep = progress.step % options.checkpoint_steps == 0 and not last
            if progress.step % LOG_STEPS == 0 or keep or last:
                nats, counted, seconds = meter.read()
                speed = counted / len(ids) * len(corpus.train) / seconds
                epochs = progress.step / per_epoch
                progress.characters_seen = round(epochs * len(corpus.train))
                progress.nats += nats
                progress.seconds += seconds
                run.log(
                    {
                        "step": progress.step,
                        "epoch": epochs,
                        "characters_seen": progress.characters_seen,
                        "train/loss": nats / counted,
                        "train/learning_rate": learning_rate,
                        "throughput/characters_per_second": round(speed),
                    },
                    bar,
                )
            if keep:
                save_checkpoint(checkpoint, model, made, progress)

        score = scoring.score(model, tokenizer, corpus.validation, label="validation").summary()
        run.add_samples(sampling.samples(model, tokenizer, corpus, epoch, options.seed))
        run.add_epoch(
            {
                "epoch": epoch,
                "train_loss": progress.nats / len(ids),
                "eval": score,
                "characters_seen": progress.characters_seen,
                "seconds": round(progress.seconds, 1),
            }
        )
        progress.epochs, progress.nats, progress.seconds = epoch, 0.0, 0.0
        if run.record["best_epoch"] == epoch:
            save_checkpoint(best, model, [], progress)
        save_checkpoint(checkpoint, model, made, progress)

    load_checkpoint(best, model, [])
    run.save_model(model, tokenizer)
    run.finish()
    return run


def prepare(corpus: corpora.Corpus, options: ScratchOptions) -> tuple[GPT2Tokenizer, np.ndarray]:
    """Tokenizer, and the token ids of the training split (int64).

    Raises Misuse when the text is too short or too poor for the options.
    """
    try:
        tokenizer = train_tokenizer(corpus.train, options.vocabulary, options.context_length)
        scoring.require_window(tokenizer, corpus.validation, options.context_length)
        ids, _ = scoring.encode(tokenizer, corpus.train)
    except ValueError as error:
        raise cli.Misuse(f"--corpus {options.corpus}: {error}") from None
    return tokenizer, ids


def build(tokenizer: GPT2Tokenizer, options: ScratchOptions) -> ScratchLM:
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
            initializer_range=options.init_std,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


if __name__ == "__main__":
    cli.run(train, options)
