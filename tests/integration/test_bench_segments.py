"""`homing bench segments` at a tiny scale: all who answer find the same customers, and it says what it measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.segments_rules import RULES


def test_figures_and_agreement(scratch: Path) -> None:
    argv = [sys.executable, "-m", "push_server", "bench", "segments", "--scale", "0.002", "--rounds", "1", "--json"]
    argv += ["--events", "2000", "--rate", "1000"]
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
    assert [row["customers"] for row in result["refresh"]["rows"]] == [1, 100, 200]
    assert result["refresh"]["rows"][-1]["memberships_changed"] > 0
    assert [row["batch"] for row in result["replay"]["rows"]] == [1000, 5000]
    assert (result["fresh"]["probes"], result["fresh"]["failed"]) == (20, 0)
    assert {
        "refresh_to_one_sql_per_segment",
        "replay_events_per_second_per_core",
        "event_to_membership_p99_s",
        "timed_turn_late_s",
    } <= result["targets"].keys()
