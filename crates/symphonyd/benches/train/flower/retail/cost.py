"""What all processes of a run cost in CPU, from `/proc`: the descendants of the process that measures.

Some of them write over their environment and lead sessions of their own, so they are told by their parents.
"""

import os
from pathlib import Path

ROOT = "SYMPHONY_FLOWER_ROOT"


def descendants(root: int) -> dict[int, int]:
    """Ids of all processes below `root`, with their CPU time and that of children they have waited for, in ticks."""
    parents, ticks = {}, {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It ended meanwhile.
        parents[int(process.name)] = int(fields[1])
        ticks[int(process.name)] = sum(map(int, fields[11:15]))
    found, before = {root}, 0
    while len(found) > before:
        before = len(found)
        found |= {process for process, parent in parents.items() if parent in found}
    return {process: ticks[process] for process in found - {root}}


def cpu_seconds() -> float:
    """CPU of this run so far."""
    return sum(descendants(int(os.environ[ROOT])).values()) / os.sysconf("SC_CLK_TCK")
