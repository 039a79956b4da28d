"""The demo shop's server."""

from pathlib import Path

from push_server.demo.shop import ShopServer


def test_a_shop_that_never_served_stops_at_once(tmp_path: Path) -> None:
    """As when the servers before it do not start: nobody sees why as long as that is waited for."""
    ShopServer(tmp_path).stop()
