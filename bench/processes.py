"""CPU time and memory of processes, where /proc tells; and which cores they may use."""

import os
from collections.abc import Iterable
from pathlib import Path


def cpu_us(pid: int) -> float:
    """User and system time of a process and its waited-for children, in microseconds; 0 when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK") * 1e6


def family(pid: int) -> list[int]:
    """The process and its children, as PostgreSQL's and their backends."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *map(int, children)]


def family_cpu_us(pid: int) -> float:
    """CPU time of a process with its children, living or gone."""
    return sum(map(cpu_us, family(pid)))


def resident_mb(pid: int) -> float:
    """Memory of the process that lies in RAM, in MB; 0 when there is none."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cores() -> list[int]:
    """The cores that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []


def pin(pids: Iterable[int], allowed: Iterable[int]) -> None:
    """Let processes run on these cores only, every thread of them."""
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                os.sched_setaffinity(int(task.name), set(allowed))
            except ProcessLookupError:
                continue
