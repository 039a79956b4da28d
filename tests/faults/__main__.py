"""Breaks everything around campaigns while they are sent, round after round, and ends at the first that came out wrong.

    make faults ARGS="--times 20 --seed 7"

Of every round each browser must have shown each campaign once, no delivery may be left, and the counts must add up.
"""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.siege import siege
from tests.faults.strikes import ALL


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(
        prog="make faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--times", type=int, default=1, help="how often all strikes are gone through")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000))
    parser.add_argument("--only", choices=[*ALL], action="append", help="this strike; may be given several times")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="homing-faults-"))
    directory.chmod(0o711)  # PostgreSQL is another user under root
    logging.getLogger("push_server.supervisor").setLevel(logging.CRITICAL)  # whose deaths are no news here
    print(f"seed {asked.seed}, in {directory}", flush=True)
    with siege(directory, asked.seed) as shop:
        for time_ in range(1, asked.times + 1):
            began = time.monotonic()
            for name in asked.only or ALL:
                try:
                    print(f"{time_}. {name}: right, {shop.round(name, ALL[name])}", flush=True)
                except (AssertionError, TimeoutError) as error:
                    print(f"WRONG in {name}, time {time_} of seed {asked.seed}: {error}\nThe home is kept: {directory}")
                    sys.exit(1)
            print(f"{time_} of {asked.times} in {time.monotonic() - began:.0f} s", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    print("Right every time.")


if __name__ == "__main__":
    main()
