"""`homing bench segments` at a tiny scale: all who answer find the same customers, and it says what it measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.segments_rules import RULES


def test_figures_and_agreement(scratch: Path) -> None:
    argv = [sys.executable, "-m", "push_server", "bench", "segments", "--scale", "0.002", "--rounds", "1", "--json"]
    done = subprocess.run([*argv, "--data", str(scratch / "bench")], capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["sound"]
    assert [row["rule"] for row in result["rules"]] == [ruled.name for ruled in RULES]
    for row in result["rules"]:
        assert row["members"] > 0, row
        assert row["same"]
        assert {"homing", "SQL by hand"} <= row["ms"].keys()
    assert {"slowest_ms", "sum_to_table", "sum_to_sql_by_hand"} <= result["targets"].keys()
