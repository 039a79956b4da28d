"""Each kind of strike once, on one campaign; `make faults` goes on for longer, with all of them at once as well."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.siege import Siege, siege
from tests.faults.strikes import ALL


@pytest.fixture(scope="module")
def besieged() -> Iterator[Siege]:
    with TemporaryDirectory(prefix="homing-faults-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)  # PostgreSQL is another user under root
        with siege(Path(directory), seed=1) as opened:
            yield opened


@pytest.mark.parametrize("name", [name for name in ALL if name != "everything"])
def test_every_browser_shows_it_once(besieged: Siege, name: str) -> None:
    besieged.round(name, ALL[name], campaigns=1)
