"""GPT-2, or another causal language model, fine-tuned with the Trainer of transformers.

Start with `train`, which tells the same story as `scratch_lm.train`.
May use `compare` up to `compare.runs`; nothing uses this package.
"""
