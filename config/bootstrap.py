"""Makes the project's environment on a bare machine; imports nothing but the standard library.

Promise: after ``ensure`` returns, the running interpreter can import everything in ``requirements.lock``.
If Django is already importable (an active environment, a container image) nothing is touched. Otherwise
``.venv`` is made beside ``manage.py``, uv is installed into it, the hash-pinned lock is synced, and the
command starts again inside. A stamp with the lock's hash makes the warm case silent and quick.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

UV_VERSION = "0.8"  # any release from here on reads the lock's format


def ensure(root: Path, argv: list[str]) -> None:
    """Return when dependencies are importable, re-executing inside ``.venv`` if they live there."""
    environment = root / ".venv"
    inside_ours = Path(sys.prefix).resolve() == environment.resolve()
    stamp = environment / ".lock-hash"
    wanted = hashlib.sha256((root / "requirements.lock").read_bytes()).hexdigest()
    if not inside_ours and importlib.util.find_spec("django") is not None:
        return
    if not (stamp.is_file() and stamp.read_text() == wanted and _python(environment).exists()):
        _build(root, environment)
        stamp.write_text(wanted)
    if not inside_ours:
        _restart(environment, argv)


def _build(root: Path, environment: Path) -> None:
    started_at = time.monotonic()
    print("Preparing Tollgate's environment in .venv (first start only) ...", end=" ", file=sys.stderr, flush=True)
    if not _python(environment).exists():
        _make_environment(environment)
    uv = environment / ("Scripts/uv.exe" if os.name == "nt" else "bin/uv")
    if not uv.exists():
        _run(
            [str(_python(environment)), "-m", "pip", "install", "--quiet", f"uv>={UV_VERSION}"],
            "pip could not install uv; check that this machine reaches its Python package index",
        )
    keep = root / "requirements.lock"
    _run(
        # install, not sync: sync would remove uv itself, which the lock does not name.
        [
            str(uv),
            "pip",
            "install",
            "--quiet",
            "--require-hashes",
            "--python",
            str(_python(environment)),
            "-r",
            str(keep),
        ],
        "the locked packages could not be installed; check the network and the free disk space, then start again",
    )
    print(f"done in {time.monotonic() - started_at:.0f} s", file=sys.stderr, flush=True)


def _make_environment(environment: Path) -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        _refuse(
            "this Python has no venv module; install it (on Debian and Ubuntu: apt-get install"
            f" python{sys.version_info.major}.{sys.version_info.minor}-venv) and start again"
        )
    import venv

    shutil.rmtree(environment, ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=os.name != "nt").create(environment)
    except (OSError, subprocess.CalledProcessError) as error:
        _refuse(f"the environment {environment} could not be made: {error}")


def _run(command: list[str], remedy: str) -> None:
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    if finished.returncode:
        tail = "\n".join((finished.stderr or finished.stdout).strip().splitlines()[-6:])
        _refuse(f"{remedy}\n{tail}")


def _restart(environment: Path, argv: list[str]) -> NoReturn:
    python = str(_python(environment))
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        sys.exit(subprocess.run([python, *argv], check=False).returncode)
    os.execv(python, [python, *argv])


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _refuse(sentence: str) -> NoReturn:
    sys.exit(f"tollgate: {sentence}")
