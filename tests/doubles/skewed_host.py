"""`python -m tests.doubles.skewed_host SECONDS COMMAND…`: `homing COMMAND…` on a host whose clock is so far off."""

import sys
from datetime import UTC, datetime, timedelta
from functools import cache

from push_server import clock
from push_server.cli import main
from push_server.delivery import send
from push_server.webpush.client import PushClient

if __name__ == "__main__":
    off = timedelta(seconds=float(sys.argv.pop(1)))
    clock._system = lambda: datetime.now(UTC) + off
    clock.set_source(None)
    send.push_client = cache(lambda: PushClient(timeout=120))  # while the test holds answers back, it alone has time
    main()
