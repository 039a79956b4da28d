"""`python -m bench.shifted SECONDS COMMAND…`: `homing COMMAND…` with a clock that goes so many seconds fast.

So the processes of a measured shop live at the shop's own time.
"""

import sys
from datetime import UTC, datetime, timedelta

from push_server import clock
from push_server.cli import main

if __name__ == "__main__":
    ahead = timedelta(seconds=float(sys.argv.pop(1)))
    clock.set_source(lambda: datetime.now(UTC) + ahead)
    main()
