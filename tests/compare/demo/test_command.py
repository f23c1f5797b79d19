"""The command: what it takes, and what it refuses in one line."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path

import pytest

from compare import cli
from compare.demo.__main__ import DemoOptions, main, read_answer
from compare.demo.ports import find_free_port
from compare.demo.sides import load_sides
from compare.errors import Failure, Misuse
from tests.conftest import Place


def test_without_gradio_the_command_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRADIO_ANALYTICS_ENABLED", "no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # which the command sets; undone after the test
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(Misuse, match=r"gradio: pip install .* compare/demo/demo\.lock"):
        main(DemoOptions())


def test_every_option_may_be_left_out() -> None:
    assert cli.parse(DemoOptions, argv=[]) == DemoOptions()
    assert cli.parse(DemoOptions, argv=["--run", "a", "b", "--no-browser"]).run == ["a", "b"]


def test_the_page_has_room_for_two(place: Place) -> None:
    assert "room for two" in place.refused("compare.demo", "--run", "a", "b", "c")


def test_a_port_in_use_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        assert find_free_port("127.0.0.1", taken) != taken
    assert find_free_port("127.0.0.1", 0) > 0


def test_an_address_of_another_machine_is_refused_at_the_first_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []
    create_server = socket.create_server

    def try_port(address: tuple[str, int], **settings: int) -> socket.socket:
        tried.append(address)
        return create_server(address, **settings)

    monkeypatch.setattr(socket, "create_server", try_port)
    with pytest.raises(Misuse, match=r"--host 192\.0\.2\.1"):  # of no machine (RFC 5737)
        find_free_port("192.0.2.1", 7860)
    assert tried == [("192.0.2.1", 7860)]


def test_by_default_the_newest_run_of_each_track_is_shown(
    study: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.path)
    names = [side.name for side in load_sides([])]
    assert names == ["Scratch (tuned)", "tiny-gpt2 fine-tuned"]


def test_code_beside_weights_does_not_run(tiny_base: Path, tmp_path: Path) -> None:
    model, traces = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(tiny_base, model)
    (model / "model.py").write_text(f"open({str(traces)!r}, 'w')", "utf-8")
    config = (model / "config.json").read_text("utf-8")
    foreign = '"auto_map": {"AutoModelForCausalLM": "model.Model"}, "model_type": "foreign"'
    config = config.replace('"model_type": "gpt2"', foreign)
    (model / "config.json").write_text(config, "utf-8")
    with pytest.raises(Failure, match=r"no code in .* was run"):
        load_sides([str(model)])
    assert not traces.exists()


def test_a_report_that_is_missing_or_damaged_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_answer() is None and not capsys.readouterr().err
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "report.json").write_text("{", "utf-8")
    assert read_answer() is None and "damaged" in capsys.readouterr().err
