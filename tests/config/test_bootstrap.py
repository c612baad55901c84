"""The bootstrap's sentences; the whole cold start is proven by CI on a clean clone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from config import bootstrap

ROOT = Path(__file__).resolve().parents[2]


def test_a_warm_start_touches_nothing_and_says_nothing(capsys):
    bootstrap.ensure(ROOT, ["manage.py"])
    assert capsys.readouterr() == ("", "")


def test_a_python_without_venv_is_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as stopped:
        bootstrap._make_environment(tmp_path / ".venv")
    assert "venv module" in str(stopped.value)
    assert "apt-get install" in str(stopped.value)


def test_a_failed_install_is_a_sentence_with_the_reason(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        bootstrap._run(
            [sys.executable, "-c", "import sys; sys.exit('no route')"], "the packages could not be installed"
        )
    assert str(stopped.value) == "tollgate: the packages could not be installed\nno route"


def runs(name: str) -> str | None:
    found = shutil.which(name)
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    return None


@pytest.mark.slow
def test_an_older_python_is_told_which_one_it_needs():
    older = next((found for version in ("3.10", "3.9", "3.8") if (found := runs(f"python{version}"))), None)
    script = "import sys; sys.version_info = (3, 9, 1); sys.argv = ['manage.py', 'up']; exec(open('manage.py').read())"
    command = [older, "manage.py", "up"] if older else [sys.executable, "-c", script]
    finished = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("tollgate: Python 3.11 or newer is needed")
    assert "Traceback" not in finished.stderr
