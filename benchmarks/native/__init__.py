"""Two small programs in C, built on first use: an upstream that answers at once, and a load generator.

In Python either would be slower than what it measures. ``program("loadgen")`` compiles what has not been compiled yet;
without a C compiler it says so in one sentence. The load generator refuses any address but loopback.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


class NoCompiler(RuntimeError):
    """The machine has no C compiler."""


def program(name: str) -> Path:
    """Path of the built program."""
    source = HERE / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    built = Path(tempfile.gettempdir()) / f"tollgate-bench-{name}-{digest}"
    if not built.exists():
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NoCompiler("Benchmarks need a C compiler (Debian: apt-get install gcc libc6-dev).")
        draft = built.with_suffix(".new")
        command = [compiler, "-O2", "-Wno-misleading-indentation", "-o", str(draft), str(source)]
        subprocess.run(command, check=True)  # noqa: S603 - our own source
        draft.rename(built)
    return built
