"""`homing bench send` sends what its sink accepts, and counts honestly."""

import json
import subprocess
import sys


def test_the_sink_receives_and_accepts_every_message_that_is_counted() -> None:
    command = "import sys; from bench.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", command, "send", "--messages", "100", "--seconds", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=120,
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
