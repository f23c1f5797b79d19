"""GPT-2, or another causal language model, fine-tuned with the transformers Trainer.

Start with `train`, and read it side by side with `scratch_lm.train`.
It may import `compare` up to `compare.runs`; no other package imports it.
"""
