"""The command line: exit codes, messages that help, nothing written over."""

import json
import sys
from pathlib import Path

import pytest

from asennp import __version__, cli
from asennp.config import load_config, parse_config
from asennp.run import RunFolder


@pytest.fixture
def asennp(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Call the command line in a folder of its own; return exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["asennp", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return call


def test_version(asennp) -> None:
    assert asennp("--version")[:2] == (0, f"asennp {__version__}\n")


def test_help_lists_every_command(asennp) -> None:
    code, out, _ = asennp("--help")
    assert code == 0
    for command in (
        "run",
        "init",
        "status",
        "sample",
        "distill",
        "label",
        "qeff",
        "train",
        "doctor",
        "import",
        "export",
    ):
        assert command in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "zno-quik"), "did you mean 'zno-quick'"),
        (("run", "missing.yaml"), "no such file"),
        (("run", "zno-tiny", "--set", "sample.step=3"), "did you mean 'steps'"),
        (("run", "zno-tiny", "--set", "sample.steps"), "not of the form KEY=VALUE"),
        (("status", "."), "not a run folder"),
        (("doctor", "zno-demi"), "zno-demo"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(asennp, tmp_path: Path, arguments, words) -> None:
    code, _, err = asennp(*arguments)
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_unknown_command_is_exit_code_2(asennp) -> None:
    assert asennp("rum", "zno-tiny")[0] == 2


def test_damaged_model_is_refused(asennp, tmp_path: Path) -> None:
    (tmp_path / "bad.asennp").write_bytes(b"PK\x03\x04 half a file")
    code, _, err = asennp("doctor", "bad.asennp")
    assert code == 2
    assert "bad.asennp" in err


def test_export_and_import_give_back_the_model(asennp, tmp_path: Path) -> None:
    from asennp.models import load_model

    code, out, err = asennp("export", "zno-demo", "--out", "there")
    assert code == 0, err
    assert "energies.json" in out
    model = load_model("zno-demo")
    listed = {
        name: ",".join(f"{symbol}={value!r}" for symbol, value in getattr(model, name).items())
        for name in ("offsets", "charges")
    }
    files = [f"there/member-{number}.pt" for number in range(model.n_members)]
    code, out, err = asennp(
        "import", *files, "--params", "there/ani.params", "--out", "back.asennp",
        "--self-energies", listed["offsets"], "--charges", listed["charges"],
    )  # fmt: skip
    assert code == 0, err
    assert "imported_from" in out
    back = load_model(tmp_path / "back.asennp")
    assert (back.aev, back.offsets, back.charges) == (model.aev, model.offsets, model.charges)
    state = back.networks.state()
    assert all((state[name] == value).all() for name, value in model.networks.state().items())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "a.pt", "--params", "no.params", "--out", "b.asennp"), "no such file"),
        (("import", "a.pt", "--params", "x", "--out", "b", "--charges", "Zn:1"), "EL=NUMBER"),
        (("export", "zno-demi", "--out", "there"), "zno-demo"),
    ],
)
def test_bad_imports_and_exports_are_exit_code_2(asennp, tmp_path: Path, arguments, words) -> None:
    code, _, err = asennp(*arguments)
    assert code == 2
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_init_writes_every_key_and_refuses_another_configuration(asennp, tmp_path: Path) -> None:
    assert asennp("init", "zno-tiny")[0] == 0
    assert RunFolder(tmp_path / "zno-tiny").config == load_config("zno-tiny")
    code, _, err = asennp("init", "zno-tiny", "--set", "seed=5")
    assert code == 2
    assert "seed = 1" in err
    assert "seed = 5" in err


def test_command_line_wins_over_the_file(asennp, tmp_path: Path) -> None:
    asennp("preset", "zno-tiny", "--write", "own.yaml")
    asennp("init", "own.yaml", "--out", "there", "--set", "sample.steps=123")
    assert RunFolder(tmp_path / "there").config.sample.steps == 123
    code, _, err = asennp("preset", "zno-tiny", "--write", "own.yaml")
    assert code == 2
    assert "exists already" in err


def test_schema_is_json_and_knows_every_section(asennp) -> None:
    code, out, _ = asennp("schema")
    assert code == 0
    assert set(json.loads(out)["properties"]) >= {"sample", "distill", "label", "charge", "train"}


def test_status_of_a_finished_run(asennp, tiny_run: Path) -> None:
    code, out, _ = asennp("status", str(tiny_run))
    assert code == 0
    assert out.count("done,") == 10  # the trained sweep, which not every preset asks for, included


def test_below_the_floor_is_exit_code_1(asennp, tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run says which line failed."""
    from asennp.files import read_json
    from asennp.stages.floor import check_floor

    summaries = {p.parent.name: read_json(p) for p in tiny_run.glob("*/summary.json")}
    values = load_config("zno-tiny").model_dump(mode="json")
    values["floor"]["force_mae_fraction"] = 0.01
    lines = check_floor(parse_config(values, "test"), summaries)
    assert [line["passed"] for line in lines].count(False) == 1
    monkeypatch.setattr(cli, "_flow", lambda *_: RunFolder(tiny_run))
    monkeypatch.setattr(cli, "read_json", lambda _: {"floor": lines})
    code, out, _ = asennp("run", "zno-tiny")
    assert code == 1
    assert "FAIL  hybrid force MAE" in out
