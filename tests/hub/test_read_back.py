"""A pushed model is downloaded again, and must have the files and the score that were published."""

from __future__ import annotations

from pathlib import Path

import pytest

from compare.errors import Failure
from compare.publish import hub as hub_module
from compare.ruler.scoring import score
from compare.runs import models
from tests.hub.server import Hub

pytestmark = pytest.mark.usefixtures("logged_in")
REPO = "student/tiny-shakespeare-fine-tuned"


@pytest.fixture(scope="module")
def text(mini_text: Path) -> str:
    return mini_text.read_text("utf-8")[-1500:]


@pytest.fixture(scope="module")
def bits_per_byte(tiny_base: Path, text: str) -> float:
    """Return the score of the model that the tests push."""
    return score(*models.load(tiny_base), text).metrics.bits_per_byte


@pytest.fixture
def commit(hub: Hub, tiny_base: Path) -> str:
    """Push the model, and return the commit."""
    return hub_module.push(tiny_base, REPO, private=False).commit


@pytest.mark.parametrize("difference", [-0.00009, 0, 0.00009])
def test_a_score_as_in_the_report_is_accepted_although_machines_round_differently(
    tiny_base: Path, text: str, bits_per_byte: float, commit: str, difference: float
) -> None:
    expected = bits_per_byte + difference
    found = hub_module.read_back(REPO, commit, tiny_base, text, expected)
    assert found == pytest.approx(bits_per_byte, abs=1e-6)  # the score itself, not the report's


@pytest.mark.parametrize("difference", [-0.00011, 0.00011, 1.0])
def test_a_score_that_is_not_the_one_in_the_report_is_refused(
    tiny_base: Path, text: str, bits_per_byte: float, commit: str, difference: float
) -> None:
    expected = bits_per_byte + difference
    with pytest.raises(Failure, match=f"{REPO} needs .* the report says {expected:.4f}"):
        hub_module.read_back(REPO, commit, tiny_base, text, expected)


def test_weights_that_are_not_those_sent_are_refused_before_they_are_loaded(
    hub: Hub,
    tiny_base: Path,
    text: str,
    bits_per_byte: float,
    commit: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = hub.repositories[REPO].files["model.safetensors"]
    hub.repositories[REPO].files["model.safetensors"] = weights[:-1] + bytes([weights[-1] ^ 1])
    loaded: list[Path] = []
    monkeypatch.setattr(models, "load", loaded.append)
    with pytest.raises(
        Failure, match=r"model\.safetensors in .* differs from the file that was uploaded"
    ):
        hub_module.read_back(REPO, commit, tiny_base, text, bits_per_byte)
    assert not loaded
