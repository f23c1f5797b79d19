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

import time

import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from compare import corpus as corpora
from compare import runs, sampling, scoring, tracking
from compare.blocks import blocks
from scratch_lm.checkpoint import load_checkpoint, save_checkpoint
from scratch_lm.model import ScratchConfig, ScratchLM
from scratch_lm.optimizer import optimizers, set_learning_rate
from scratch_lm.tokenizer import train_tokenizer

LOG_STEPS = 50
CLIP = 1.0  # largest gradient norm


def train(options: ScratchOptions) -> runs.Run:
    """Train, evaluate after every epoch, and save the best epoch's model."""
    corpus = corpora.load(options.corpus)
    try:
        tokenizer = train_tokenizer(corpus.train, options.vocabulary, options.context_length)
        end_of_text = tokenizer.eos_token_id
        ids, _ = scoring.encode(tokenizer, corpus.train)
        inputs, targets = map(torch.from_numpy, blocks(ids, options.context_length, end_of_text))
        scoring.require_window(tokenizer, corpus.validation, options.context_length)
    except ValueError as error:
        raise cli.Misuse(f"--corpus {options.corpus}: {error}") from None

    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = ScratchLM(
        ScratchConfig(
            vocab_size=options.vocabulary,
            max_position_embeddings=options.context_length,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            hidden_size=options.width,
            intermediate_size=options.feed_forward,
            dropout=options.dropout,
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
        )
    ).to(device)
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

    made = optimizers(model, options)
    checkpoint, best = run.checkpoint / "state.safetensors", run.checkpoint / "best.safetensors"
    progress = {"step": 0, "characters_seen": 0, "epochs": 0, "nats": 0.0, "seconds": 0.0}
    if checkpoint.exists():
        progress = load_checkpoint(checkpoint, model, made)
    run.rewind(progress["characters_seen"], progress["epochs"])
    run.tracker = tracking.Tracker(run, options)

    steps_per_epoch = -(-len(inputs) // options.batch_size)
    steps = options.epochs * steps_per_epoch
    step, nats, seconds = progress["step"], progress["nats"], progress["seconds"]
    for epoch in range(progress["epochs"] + 1, options.epochs + 1):
        # An order of its own for each epoch, the same again after a resume.
        shuffle = torch.Generator().manual_seed(options.seed * 1000 + epoch)
        batches = torch.randperm(len(inputs), generator=shuffle).split(options.batch_size)
        done = step - (epoch - 1) * steps_per_epoch
        window_nats, window_tokens, began = 0.0, 0, time.perf_counter()
        bar = tqdm(batches[done:], f"epoch {epoch}/{options.epochs}", steps_per_epoch, initial=done)
        model.train()
        for batch in bar:
            x, y = inputs[batch].to(device), targets[batch].to(device)
            logits = model(x).logits
            loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            learning_rate = set_learning_rate(made, step, steps, options.warmup_steps)
            for optimizer in made:
                optimizer.step()
                optimizer.zero_grad()

            step += 1
            tokens = int((y >= 0).sum())
            window_nats += loss.item() * tokens
            window_tokens += tokens
            last = step == epoch * steps_per_epoch
            keep = step % options.checkpoint_steps == 0 and not last
            if step % LOG_STEPS == 0 or keep or last:
                elapsed = time.perf_counter() - began
                began += elapsed
                seconds += elapsed
                nats += window_nats
                speed = window_tokens / len(ids) * len(corpus.train) / elapsed
                seen = round(step / steps_per_epoch * len(corpus.train))
                run.log(
                    {
                        "step": step,
                        "epoch": step / steps_per_epoch,
                        "characters_seen": seen,
                        "train/loss": window_nats / window_tokens,
                        "train/learning_rate": learning_rate,
                        "throughput/characters_per_second": round(speed),
                    }
                )
                bar.set_postfix_str(f"loss {window_nats / window_tokens:.3f}, {speed:,.0f} chars/s")
                window_nats, window_tokens = 0.0, 0
                if keep:
                    progress = {"step": step, "characters_seen": seen, "epochs": epoch - 1}
                    progress |= {"nats": nats, "seconds": seconds}
                    save_checkpoint(checkpoint, model, made, progress)

        score = scoring.score(model, tokenizer, corpus.validation, label="validation").summary()
        run.add_samples(sampling.samples(model, tokenizer, corpus, epoch, options.seed))
        run.add_epoch(
            {
                "epoch": epoch,
                "train_loss": nats / len(ids),
                "eval": score,
                "characters_seen": seen,
                "seconds": round(seconds, 1),
            }
        )
        tqdm.write(
            f"epoch {epoch}: train loss {nats / len(ids):.4f}, validation loss {score['loss']:.4f} "
            f"nats/token = {score['bits_per_byte']:.4f} bits/byte"
        )
        nats, seconds = 0.0, 0.0
        progress = {"step": step, "characters_seen": seen, "epochs": epoch}
        if run.record["best_epoch"] == epoch:
            save_checkpoint(best, model, [], progress)
        save_checkpoint(checkpoint, model, made, progress | {"nats": 0.0, "seconds": 0.0})

    load_checkpoint(best, model, [])
    run.save_model(model, tokenizer)
    run.finish()
    run.print_summary()
    return run


if __name__ == "__main__":
    cli.run(train, options)
