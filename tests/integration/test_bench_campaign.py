"""`homing bench campaign` at a tiny scale: every message is accepted once, and it says what it measured."""

import json
import os
import subprocess
import sys


def test_figures_and_soundness() -> None:
    argv = [sys.executable, "-m", "push_server", "bench", "campaign", "--subscriptions", "400", "--json"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("HOMING_")}
    done = subprocess.run(argv, capture_output=True, text=True, env=own, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["sound"]
    large = [turn for turn in result["turns"] if turn["shop"] == "large"]
    assert [turn["run"]["accepted"] for turn in large] == [400] * len(large)
    assert result["sink"]["received"] == sum(turn["run"]["messages"] for turn in result["turns"])
    assert result["database_us_a_message"] > 0
    assert {name: value > 0 for name, value in result["a_message"].items()} == dict.fromkeys(
        ("wal_bytes", "delivery_bytes", "redis_commands"), True
    )
    assert large[-1]["run"]["cpu_us"]["worker"] > 0
    assert 0 < large[-1]["run"]["memory_mb"][0] <= large[-1]["run"]["memory_mb"][1]
    assert {"cost, large to small", "memory, large to small"} <= result["targets"].keys()
