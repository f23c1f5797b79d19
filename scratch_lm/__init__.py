"""A decoder-only language model under 1,000,000 parameters, trained from scratch.

Start with `model` and `train`; the other modules contain the rest of the training recipes.
This package may import the modules directly in `compare`, and `compare.corpus`, `compare.ruler` and
`compare.runs`; no other package imports it.

    config.py          options, presets such as `course` and `tuned`, the parameter budget
    tokenizer.py       GPT-2's tokenizer class with a BPE trained on the training split
    token_cache.py     cached tokenizer and token ids, keyed by a hash of the text
    batches.py         every training token once per epoch, in a new order each time
    model.py           nn.TransformerDecoder without cross-attention; saved next to the weights
    copy_exercises.py  copying exercises: repeating rows, speakers with invented names
    optimizer.py       AdamW, or Muon with AdamW; linear warm-up and cosine decay
    averaging.py       an exponential moving average of the weights
    muon.py            Muon for all matrices of a shape at once, in fp32
    checkpoint.py      the state that --resume needs, in one safetensors file
    dropout.py         a separate dropout seed for every step
    distillation.py    --teachers: knowledge distillation from other models
    journal.py         the loop's log lines, checkpoints and finished epochs
    parallel.py        several processes share each batch
    train.py           the training loop
    leave_one_out.py   judges a recipe on plays that it was not trained on
    time_to_quality.py seconds of training until validation reaches a score
    bench.py           speed of training and generation, as ratios
    reference_loops.py what bench compares with: a textbook loop, a GPT of nanoGPT's shape
    EXPERIMENTS.md     all experiments, with numbers
"""
