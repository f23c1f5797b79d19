"""Random bytes, records and arguments give a result or one of the project's own errors."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compare import cli, corpus
from compare.errors import Misuse
from compare.kinds import RunStatus, Track
from compare.runs import find
from compare.runs.record import RunRecord
from scratch_lm.config import PRESETS, ScratchOptions
from tests.run_records import make_record

CASES = {"texts": 50_000, "records": 48_000, "options": 2_000}
KEYS = sorted(RunRecord.model_json_schema(by_alias=True)["properties"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner)
)
flags = st.sampled_from([f"--{each.name.replace('_', '-')}" for each in fields(ScratchOptions)])
arguments = st.lists(flags | st.text(max_size=8) | scalars.map(str), max_size=6)


@st.composite
def changed_records(draw: st.DrawFn) -> str:
    """Draw a valid record in which up to three fields are replaced, dropped or added."""
    record = make_record(draw(st.sampled_from(Track))).to_json()
    for _ in range(draw(st.integers(0, 3))):
        part = draw(st.sampled_from(list(dicts_in(record))))
        key = draw(st.sampled_from([*part, *part, *KEYS]) | st.text(max_size=5))
        if draw(st.booleans()):
            part[key] = draw(values)
        else:
            part.pop(key, None)
    return json.dumps(record)


def dicts_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield `value` and all that is nested in it, as far as they are dicts."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from dicts_in(inner)


@pytest.mark.slow
@given(data=st.binary(max_size=200))
@settings(max_examples=CASES["texts"], database=None)
def test_texts(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.txt"
    path.write_bytes(data)
    with contextlib.suppress(Misuse):
        found = corpus.load(str(path))
        text = (found.train + found.validation + found.test).encode()
        assert text == data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


@pytest.mark.slow
@given(text=changed_records() | st.text(max_size=50))
@settings(max_examples=CASES["records"], database=None)
def test_run_records(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(text, encoding="utf-8", errors="replace")
    with contextlib.suppress(Misuse):
        assert find.load(Path(folder)).record.status is RunStatus.COMPLETE


@pytest.mark.slow
@given(argv=arguments)
@settings(max_examples=CASES["options"], database=None)
def test_options(argv: list[str]) -> None:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.parse(ScratchOptions, PRESETS, argv)
        except SystemExit as end:
            assert end.code in (0, 2)  # 0: --help
    assert "Traceback" not in errors.getvalue()
