"""Fine-tune GPT-2 on the study's corpus with the transformers Trainer.

    python -m gpt2_finetune.train                       # GPT-2, or offline the small stand-in
    python -m gpt2_finetune.train --base distilgpt2     # any causal language model
    python -m gpt2_finetune.train --corpus my-novel.txt # your own text
    python -m gpt2_finetune.train --resume              # go on after an interruption

Writes `runs/gpt2_finetune/<base>-seed<seed>/`; see `compare.runs` for what is in it.
"""

from compare import cli
from gpt2_finetune.config import FinetuneOptions

if __name__ == "__main__":  # before torch is imported, so that --help answers at once
    options = cli.parse(FinetuneOptions)

import math

import datasets
import torch
from transformers import (
    AutoModelForCausalLM,
    PrinterCallback,
    TrainingArguments,
    default_data_collator,
)
from transformers.trainer_callback import TrainerState

from compare import corpus as corpora
from compare import runs, scoring, started, tracking
from compare.blocks import blocks
from gpt2_finetune.base import load_base
from gpt2_finetune.trainer import RecordCallback, ScoringTrainer, newest_checkpoint

GPT2_PARAMETERS, GPT2_LEARNING_RATE = 124e6, 5e-5


def train(options: FinetuneOptions) -> runs.Run:
    """Fine-tune, evaluate after every epoch, and save the best epoch's model."""
    corpus = corpora.load(options.corpus)
    model, tokenizer, base = load_base(options.base)
    if options.random_weights:
        torch.manual_seed(options.seed)
        model = AutoModelForCausalLM.from_config(model.config, dtype=torch.float32)
    context_length = model.config.max_position_embeddings
    try:
        scoring.require_window(tokenizer, corpus.validation, context_length)
        ids, _ = scoring.encode(tokenizer, corpus.train)
        inputs, targets = blocks(ids, context_length, tokenizer.eos_token_id)
    except ValueError as error:
        raise cli.Misuse(f"--corpus {options.corpus}: {error}") from None
    # `shift_labels` are taken as they are; `labels` alone would be shifted once more by the model,
    # which leaves out the first token of every block.
    columns = {"input_ids": inputs, "labels": targets, "shift_labels": targets}
    dataset = datasets.Dataset.from_dict(columns).with_format("torch")

    total = model.num_parameters()
    embeddings = model.get_input_embeddings().weight.numel()
    random = "-random" if options.random_weights else ""
    run, state = started.start(
        "gpt2_finetune",
        f"{base['resolved'].replace('/', '--')}{random}-seed{options.seed}",
        options,
        corpus,
        preset="from random weights" if options.random_weights else "fine-tuned",
        base=base,
        parameters={"total": total, "non_embedding": total - embeddings},
    )
    print(f"{run.path}: {state}; base {base['resolved']} ({base['source']}), "
          f"{total:,} parameters, {len(ids):,} tokens from {corpus.source}")  # fmt: skip
    if state == "complete":
        return run

    learning_rate = options.learning_rate or default_learning_rate(total, options.random_weights)
    trainer = ScoringTrainer(
        model=model,
        run=run,
        corpus=corpus,
        processing_class=tokenizer,
        train_dataset=dataset,
        data_collator=default_data_collator,  # blocks are of one length: nothing to pad
        eval_dataset=dataset,  # not looked at: ScoringTrainer scores the validation text
        args=TrainingArguments(
            output_dir=str(run.checkpoint),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=max(1, options.batch_tokens // context_length),
            learning_rate=learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=options.warmup,
            weight_decay=options.weight_decay,
            seed=options.seed,
            eval_strategy="epoch",
            save_strategy="epoch",
            save_total_limit=2,
            load_best_model_at_end=True,
            metric_for_best_model="eval_bits_per_byte",
            greater_is_better=False,
            logging_steps=20,
            logging_nan_inf_filter=False,
            remove_unused_columns=False,
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to="none",
            disable_tqdm=True,  # RecordCallback shows the same as the scratch track
            log_level="error",
        ),
        callbacks=[RecordCallback(run, corpus, tokenizer, options.seed, options.checkpoint_steps)],
    )
    trainer.remove_callback(PrinterCallback)

    last = newest_checkpoint(run.checkpoint)
    if last:
        epochs = TrainerState.load_from_json(str(last / "trainer_state.json")).epoch
        run.rewind(round(epochs * len(corpus.train)), int(epochs))
    else:
        run.rewind(-1, 0)
    run.tracker = tracking.Tracker(run, options)
    if not last:
        zero_shot = scoring.score(
            model, tokenizer, corpus.validation, label="before training"
        ).summary()
        print(f"before training: {zero_shot['bits_per_byte']:.4f} bits/byte")
        run.record["zero_shot"] = zero_shot
        run.log({"epoch": 0, "characters_seen": 0} | runs.tracked(zero_shot))

    trainer.train(resume_from_checkpoint=str(last) if last else None)
    run.save_model(model, tokenizer)
    run.finish()
    return run


def default_learning_rate(parameters: int, random_weights: bool) -> float:
    """5e-5 for fine-tuning GPT-2, more for a smaller base; from random weights as one pretrains.

    The latter is Kaplan et al. 2020, "Scaling Laws for Neural Language Models", equation D.1.
    """
    if random_weights:
        return 0.003239 - 0.0001395 * math.log(parameters)
    return GPT2_LEARNING_RATE * (GPT2_PARAMETERS / parameters) ** 0.5


if __name__ == "__main__":
    cli.run(train, options)
