"""What the kernel says: processor time and memory of process trees, and how busy the whole machine was.

Promise: every figure is read from ``/proc`` (so this is for Linux alone), children included: a server's workers count
as the server.
"""

import os
import platform
from collections.abc import Iterable
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def tree(roots: Iterable[int]) -> set[int]:
    """Give all living processes under these, the roots included."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and (PROC / str(pid)).exists():
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def cpu_s(roots: Iterable[int]) -> float:
    """Processor seconds (user and system) that these trees have used, reaped children included."""
    return sum(sum(map(int, stat[11:15])) for pid in tree(roots) if (stat := _stat(pid))) / TICK


def memory_mib(roots: Iterable[int]) -> float:
    """Memory that these trees share out among themselves (PSS)."""
    total = 0
    for pid in tree(roots):
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def busy_s() -> float:
    """Processor seconds the whole machine has been busy."""
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6] + fields[7]) / TICK


def described() -> str:
    """One line about this machine."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in (PROC / "cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the name: [state, parent, ...]."""
    try:
        return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []
