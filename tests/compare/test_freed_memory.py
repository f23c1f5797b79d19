"""The right settings are requested from the C library, and other C libraries are left alone.

The number of page faults that this saves depends on the library's version and on the history of the
process; `python -m scratch_lm.bench` measures it.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from compare import freed_memory


def use_library(monkeypatch: pytest.MonkeyPatch, accepts: set[int]) -> list[int]:
    """Replace the C library with one that accepts only `accepts`; return the requested ones."""
    requested: list[int] = []

    def mallopt(parameter: int, value: int) -> int:
        requested.append(parameter)
        return int(parameter in accepts)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    return requested


def test_both_settings_are_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {freed_memory.M_MMAP_MAX, freed_memory.M_TRIM_THRESHOLD}
    requested = use_library(monkeypatch, accepts=both)
    assert freed_memory.keep_freed_memory()
    assert set(requested) == both


def test_nothing_else_is_requested_if_the_first_setting_is_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On its own, the second setting causes more page faults than no setting at all."""
    requested = use_library(monkeypatch, accepts={freed_memory.M_TRIM_THRESHOLD})
    assert not freed_memory.keep_freed_memory()
    assert requested == [freed_memory.M_MMAP_MAX]


@pytest.mark.parametrize("error", [TypeError, OSError, AttributeError])
def test_other_c_libraries_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(name: None) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not freed_memory.keep_freed_memory()
