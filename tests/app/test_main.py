"""The entry point: lazy nouns, exit codes, what a fault shows, Ctrl-C."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import types

import pytest
import typer

import app.main as main_module
from app.main import NOUNS, Noun, run
from release import errors

HEAVY = (
    "torch",
    "sdv",
    "streamlit",
    "pandas",
    "numpy",
    "numba",
    "sqlalchemy",
    "sklearn",
    "opendp",
    "pydantic",
    "duckdb",
)


def modules_after(*arguments: str) -> set[str]:
    code = (
        "import sys; from app.main import run; "
        f"code = run({list(arguments)!r}); print('\\n@@' + ' '.join(sys.modules)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("@@", 1)[1].split())


def test_help_imports_nothing_heavy():
    loaded = modules_after("--help")
    assert not loaded & set(HEAVY)
    assert not [name for name in loaded if name.startswith("app.commands.")]
    assert len(loaded) < 500


@pytest.mark.parametrize("noun", NOUNS)
def test_a_nouns_help_imports_only_its_own_module(noun):
    loaded = modules_after(noun, "--help")
    assert not loaded & {"torch", "sdv", "streamlit", "pandas", "sklearn", "opendp", "sqlalchemy"}
    own = NOUNS[noun].module
    assert own in loaded
    assert not [name for name in loaded if name.startswith("app.commands.") and not name.startswith(own)]


def every_command():
    from app.main import app

    group = typer.main.get_command(app)
    for noun in NOUNS:
        command = group.get_command(None, noun)
        if hasattr(command, "commands"):
            yield from ((f"{noun} {name}", sub) for name, sub in command.commands.items())
        else:
            yield noun, command


def test_every_command_has_help_examples_and_json():
    for name, command in every_command():
        assert command.help, name
        assert f"sluice {name}" in (command.epilog or ""), name
        assert not [param.name for param in command.params if "completion" in str(param.name)], name
        if name not in {"app", "demo"}:
            assert "--json" in {option for param in command.params for option in param.opts}, name


def test_examples_name_only_options_that_exist():
    for name, command in every_command():
        options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        for line in (command.epilog or "").split("$ ")[1:]:
            for word in line.split("|")[0].split():
                if word.startswith("--"):
                    assert word.split("=")[0] in options | {"--help"}, (name, word)


ERRORS = {
    "input": (errors.InputError("f", mend="m"), 2),
    "schema": (errors.SchemaError("f", mend="m"), 2),
    "source": (errors.SourceError("f", mend="m", file="x.csv", row=3), 2),
    "policy format": (errors.PolicyFormatError("f"), 2),
    "plan": (errors.PlanError("f", mend="m"), 2),
    "refused": (errors.RefusedError("f", mend="m"), 1),
    "budget": (errors.BudgetExceededError("f", mend="m"), 1),
    "transition": (errors.TransitionError("f", mend="m"), 1),
    "not authorised": (errors.NotAuthorisedError("f", mend="m"), 1),
    "gate": (errors.GateError("f", mend="m"), 1),
    "verification": (errors.VerificationError("f", mend="m"), 1),
    "unproven": (errors.UnprovenError("f", mend="m"), 3),
    "integrity": (errors.IntegrityError("f", mend="m"), 4),
    "fault": (errors.FaultError("f", mend="m"), 4),
    "foreign": (ValueError("patient 4711 has HIV"), 4),
    "disk": (OSError(errno.ENOSPC, "No space", "/secret/path"), 4),
    "ctrl-c": (KeyboardInterrupt("run R-1 was charged ε = 1"), 130),
}


@pytest.fixture
def failing(monkeypatch):
    """A noun `fail` that raises what the test puts there."""
    module = types.ModuleType("failing_noun")
    module.app = typer.Typer()
    box = {}

    @module.app.command()
    def fail(as_json: bool = typer.Option(False, "--json")) -> None:
        raise box["error"]

    monkeypatch.setitem(sys.modules, "failing_noun", module)
    monkeypatch.setitem(main_module.NOUNS, "fail", Noun("failing_noun", "Fails."))
    return box


@pytest.mark.parametrize("case", ERRORS)
def test_exit_codes(failing, capsys, case):
    failing["error"], expected = ERRORS[case]
    assert run(["fail"]) == expected
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    if isinstance(failing["error"], errors.ReleaseError):
        assert str(failing["error"]) in shown.err
    if case == "ctrl-c":
        assert "ε = 1" in shown.err


@pytest.mark.parametrize("case", [case for case in ERRORS if case != "ctrl-c"])
def test_errors_as_json(failing, capsys, case):
    failing["error"], expected = ERRORS[case]
    run(["fail", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == expected
    assert "4711" not in json.dumps(document)


def test_a_fault_shows_no_value_and_logs_privately(failing, capsys, tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("SLUICE_WORKSPACE", str(tmp_path))
    failing["error"] = ValueError("patient 4711 has HIV")
    assert run(["fail"]) == 4
    shown = capsys.readouterr()
    assert "4711" not in shown.err + shown.out
    [log] = (tmp_path / "logs").iterdir()
    assert "4711" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


USAGE = {
    "unknown noun": ["nonsense"],
    "unknown verb": ["release", "nonsense"],
    "unknown option": ["doctor", "--nonsense"],
    "missing argument": ["release", "run"],
    "bad enum": ["evaluate", "--purpose", "fun"],
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_is_2(case, capsys):
    assert run(USAGE[case]) == 2
    assert capsys.readouterr().out == ""


def test_packages_share_one_parent():
    from app.installation import PACKAGES, parents

    places = parents()
    assert set(places) == set(PACKAGES)
    assert len(set(places.values())) == 1


def test_a_foreign_package_is_refused(monkeypatch, capsys, tmp_path):
    from app import installation

    monkeypatch.setattr(
        installation, "parents", lambda: {"attacks": tmp_path, "release": tmp_path, "app": tmp_path}
    )
    assert run(["generator", "list"]) == 4
    assert "attacks" in capsys.readouterr().err
