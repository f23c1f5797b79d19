"""What is asked of the C library, and that other libraries are left alone.

How many page faults it saves depends on the library's version and on what the process did before:
`python -m scratch_lm.bench` measures that.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from scratch_lm import malloc


def use_library(monkeypatch: pytest.MonkeyPatch, accepts: set[int]) -> list[int]:
    """Replace the C library by one that accepts these parameters; returns those asked for."""
    asked: list[int] = []

    def mallopt(parameter: int, value: int) -> int:
        asked.append(parameter)
        return int(parameter in accepts)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    return asked


def test_both_thresholds_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {malloc.M_MMAP_THRESHOLD, malloc.M_TRIM_THRESHOLD}
    asked = use_library(monkeypatch, accepts=both)
    assert malloc.keep_freed_memory()
    assert set(asked) == both


def test_no_trim_threshold_where_the_mmap_threshold_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Alone it doubles the time of a step."""
    asked = use_library(monkeypatch, accepts={malloc.M_TRIM_THRESHOLD})
    assert not malloc.keep_freed_memory()
    assert asked == [malloc.M_MMAP_THRESHOLD]


@pytest.mark.parametrize("error", [TypeError, OSError, AttributeError])
def test_other_c_libraries_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(name: None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not malloc.keep_freed_memory()
