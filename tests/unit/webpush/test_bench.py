"""`homing bench send` sends what its sink accepts, and counts honestly."""

import json
import os
import subprocess
import sys


def test_the_sink_receives_and_accepts_every_message_that_is_counted() -> None:
    command = "import sys; from bench.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, "send", "--messages", "100", "--seconds", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"HOMING_CHUNK_SIZE": "64"},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["sound"]
    assert result["sink"]["received"] == result["sent"]
    assert result["sink"]["decrypted"] == result["sent"] // 16
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["homing"]["messages"] == 100 * result["turns"]
    assert rows["pywebpush, README loop"]["times_readme"] == 1
    assert rows["homing"]["times_readme"] > 1
    chunks = 4  # of 200 messages, 64 each at most
    assert rows["homing, through RQ"]["messages"] == 200 * result["turns"]
    assert result["rq_jobs"] == chunks * result["turns"] + 1  # one to warm up
    per_core = {name: row["per_core"] for name, row in rows.items()}
    kept = per_core["homing, through RQ"] / per_core["homing"]
    assert result["targets"]["kept through RQ"]["reached"] == round(kept, 3)
    assert 0 < result["campaign_to_bare_sender"] < kept
