"""Group commit under load and misfortune: a 200 is never lost, nothing is stored twice, nobody pays for a neighbour."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI

from push_server.app import create_app
from push_server.customers.identity import Connection, lock_site
from tests.integration.ingest import Shop, second_application, shop
from tests.integration.test_supervisor import until

__all__ = ["shop"]


@contextmanager
def server(app: FastAPI | None = None) -> Iterator[httpx.Client]:
    """A real server on a port of its own, in a thread."""
    config = uvicorn.Config(app or create_app(), port=0, log_level="error", lifespan="on")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, limits=limits) as client:
        yield client
    running.should_exit = True
    thread.join()


def together(count: int, call: Callable[[int], Any]) -> list[Any]:
    """The results of call(0…count-1), all under way at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


def gathered(shop: Shop, holder: Connection, app: Any, post: Callable[[int], int], count: int) -> list[int]:
    """What post(0…count-1) give when the writer waits with the first, and all others have gathered behind it."""
    with ThreadPoolExecutor(count) as pool:
        first = pool.submit(post, 0)
        until(lambda: shop.rows("select count(*) from pg_locks where locktype = 'advisory' and not granted") == [(1,)])
        answers = pool.map(post, range(1, count))
        until(lambda: app.state.ingest.writer.waiting == count - 1)
        holder.commit()
        return [first.result(), *answers]


def test_two_hundred_requests_at_once_share_transactions(shop: Shop) -> None:
    app = create_app()
    with server(app) as client, shop.db.connect() as holder:
        lock_site(holder, shop.site_id, exclusive=True)

        def post(number: int) -> int:
            body = {"writeKey": shop.public_key, "anonymousId": f"b{number % 50}", "event": f"E{number % 7}"}
            return client.post("/v1/track", json=body).status_code

        assert gathered(shop, holder, app, post, 200) == [200] * 200
    assert shop.rows("select count(*), count(distinct customer_id), count(distinct kind_id) from event") == [
        (200, 50, 7)
    ]
    [(transactions,)] = shop.rows("select count(distinct xmin::text) from event_body")
    assert transactions == 2


def test_a_poisonous_request_fails_alone(shop: Shop) -> None:
    def body(user: str, number: str) -> str:
        return f'{{"writeKey":"{shop.public_key}","userId":"{user}","event":"X","properties":{{"n":{number}}}}}'

    with shop.db.connect() as holder:
        lock_site(holder, shop.site_id, exclusive=True)

        def post(number: int) -> int:
            content = body("poison", "1e-99999") if number % 5 == 2 else body(f"u{number}", "1")
            return shop.client.post("/v1/track", content=content).status_code

        answers = gathered(shop, holder, shop.client.app, post, 20)
        assert answers == [422 if number % 5 == 2 else 200 for number in range(20)]
    assert shop.rows("select count(*), count(*) filter (where external_id = 'poison') from customer") == [(16, 0)]
    assert len(shop.events()) == 16


def test_traits_beyond_what_a_customer_may_have_are_refused_and_a_neighbours_kept(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("push_server.customers.traits.MAX_ATTRIBUTES", 50)

    with shop.db.connect() as holder:
        lock_site(holder, shop.site_id, exclusive=True)

        def post(number: int) -> int:
            traits = {f"{number}-{at}": at for at in range(34 if number in (3, 8) else 1)}
            body = {"writeKey": shop.public_key, "userId": "u", "traits": traits}
            return shop.client.post("/v1/identify", json=body).status_code

        answers = gathered(shop, holder, shop.client.app, post, 12)
    assert sorted(answers) == [200] * 11 + [422], "one of the two large ones is small enough without the other"
    assert {answers[number] for number in (3, 8)} == {200, 422}
    [(kept,)] = shop.rows("select count(*) from customer, jsonb_object_keys(attributes) where external_id = 'u'")
    assert kept == 34 + 10


def test_who_has_all_that_he_may_have_can_be_told_less_and_other_things(shop: Shop) -> None:
    many = {f"a{number}": "x" * 1000 for number in range(60)}
    for part in (dict(list(many.items())[:30]), dict(list(many.items())[30:])):
        shop.send("identify", {"userId": "u", "traits": part})
    for traits in ({"more": "x" * 6000}, {f"b{number}": 1 for number in range(250)}):
        refused = shop.post("identify", {"userId": "u", "traits": traits}, **{"Idempotency-Key": f"k{len(traits)}"})
        assert (refused.status_code, refused.json()["code"]) == (422, "too_many_attributes")
    shop.send("identify", {"userId": "u", "traits": {"a0": None}})
    shop.send("identify", {"userId": "u", "traits": {"a1": "short", "timezone": "Europe/Budapest"}})
    with shop.db.session(site_id=shop.site_id) as session:
        session.raw.execute(
            "update customer set attributes = attributes || jsonb_build_object('old', repeat('x', 99999))"
        )
    authorization = {"Authorization": f"Bearer {shop.secret_key}"}
    for change in ({"time_zone": "Asia/Tokyo"}, {"attributes": {"a2": None}}):
        assert shop.client.put("/v1/customers/u", json=change, headers=authorization).status_code == 200
    shop.send("identify", {"userId": "u", "traits": {"a3": "shorter"}})
    assert shop.rows("select count(*) from idempotency_key") == [(0,)]


def test_connections_that_break_lose_nothing_and_double_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push_server.events.ingest.PATIENCE", 60.0)
    done, answered = threading.Event(), threading.Semaphore(0)

    def terminate() -> None:
        """Every third answer, so that a slow machine gets somewhere between two as well."""
        with psycopg.connect(shop.db.url, autocommit=True) as conn:
            while not done.is_set():
                for _ in range(3):
                    answered.acquire()
                conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where datname = current_database() and pid <> pg_backend_pid()"
                )

    killer = threading.Thread(target=terminate)
    with server() as client:

        def post(number: int) -> list[str]:
            accepted = []
            for turn in range(15):
                message = f"{number}-{turn}"
                body = {"writeKey": shop.public_key, "anonymousId": f"b{number}", "event": "X", "messageId": message}
                answer = client.post("/v1/track", json=body)
                answered.release()
                assert answer.status_code in (200, 503), answer.text
                if answer.status_code == 200:
                    accepted.append(message)
            return accepted

        killer.start()
        try:
            accepted = [message for list_ in together(20, post) for message in list_]
        finally:
            done.set()
            answered.release(3)
            killer.join()
    stored = [row[0] for row in shop.rows("select message_id from event join event_body using (seq)")]
    assert len(accepted) > 150
    assert set(accepted) <= set(stored)
    assert len(stored) == len(set(stored))
    assert shop.rows("select count(*) from event_body") == [(len(stored),)]


def test_without_a_database_nothing_is_promised(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push_server.events.ingest.PATIENCE", 0.2)
    body = {"userId": "u", "event": "X"}
    shop.send("track", body)
    admin, name = shop.db.url.rsplit("/", 1)
    with psycopg.connect(f"{admin}/postgres", autocommit=True) as conn:
        conn.execute(f"alter database {name} allow_connections false")  # type: ignore[arg-type]
        conn.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        answer = shop.post("track", body)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        conn.execute(f"alter database {name} allow_connections true")  # type: ignore[arg-type]
    shop.send("track", body)
    assert len(shop.events()) == 2


def test_too_much_waiting_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push_server.events.writer.MAX_PENDING", 300)
    with shop.db.connect() as holder:
        lock_site(holder, shop.site_id, exclusive=True)
        with ThreadPoolExecutor(10) as pool:
            answers = [pool.submit(shop.post, "track", {"userId": "u", "event": "X" * 50}) for _ in range(10)]
            until(lambda: sum(answer.done() for answer in answers) >= 7)
            holder.commit()
            codes = sorted(answer.result().status_code for answer in answers)
    assert codes == [200] * codes.count(200) + [503] * codes.count(503)
    assert 1 <= codes.count(200) == len(shop.events()) <= 3


def test_two_applications_take_a_message_once(shop: Shop) -> None:
    with second_application() as other:

        def post(number: int) -> int:
            body = {"writeKey": shop.public_key, "anonymousId": f"b{number // 2 % 10}", "event": f"E{number // 2 % 10}"}
            client = other if number % 2 else shop.client
            return client.post("/v1/track", json=body | {"messageId": f"m{number // 2}"}).status_code

        assert together(60, post) == [200] * 60
    assert shop.rows("select count(*), count(distinct customer_id) from event") == [(30, 10)]
    assert shop.rows("select count(*) from customer") == [(10,)]
    assert shop.rows("select count(*) from term") == [(10,)]


def test_writers_that_make_the_same_customers_all_get_through(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push_server.events.writer.WORTH_HELP", 1)  # both threads take whatever comes
    with server() as client:

        def post(number: int) -> int:
            chance = random.Random(number)
            batch = [
                {"type": "track", "event": f"E{chance.randrange(30)}", field: f"id{chance.randrange(200)}"}
                for _ in range(40)
                for field in ("userId", "anonymousId")
            ]
            return client.post("/v1/batch", json={"writeKey": shop.public_key, "batch": batch}).status_code

        assert together(40, post) == [200] * 40
    assert shop.rows("select count(*) from event") == [(3200,)]
    assert shop.rows("select count(external_id), count(anonymous_id) from customer") == [(200, 200)]


def test_identify_during_a_burst_of_anonymous_events_loses_none(shop: Shop) -> None:
    shop.send("identify", {"userId": "u1"})
    with second_application() as other:

        def post(number: int) -> int:
            client = other if number % 2 else shop.client
            body: dict[str, Any] = {"writeKey": shop.public_key, "anonymousId": f"b{number % 3}"}
            kind, more = ("identify", {"userId": "u1"}) if number % 10 == 9 else ("track", {"event": "X"})
            return client.post(f"/v1/{kind}", json=body | more).status_code

        assert together(90, post) == [200] * 90
    assert shop.rows(
        "select count(*), count(distinct customer_id), min(external_id) from event join customer c"
        " on c.id = customer_id"
    ) == [(81, 1, "u1")]
    assert shop.rows("select count(*) from customer") == [(1,)]


def test_what_waits_at_the_end_is_committed(shop: Shop) -> None:
    with shop.db.connect() as holder:
        lock_site(holder, shop.site_id, exclusive=True)
        with second_application() as other, ThreadPoolExecutor(5) as pool:
            body = {"writeKey": shop.public_key, "userId": "u", "event": "X"}
            answers = [pool.submit(other.post, "/v1/track", json=body) for _ in range(5)]
            until(lambda: bool(shop.rows("select 1 from pg_locks where locktype = 'advisory' and not granted")))
            threading.Timer(0.2, holder.commit).start()
            other.app.state.ingest.writer.close()  # type: ignore[attr-defined]
            assert {answer.result().status_code for answer in answers} <= {200, 503}
            taken = sum(answer.result().status_code == 200 for answer in answers)
    assert taken == len(shop.events()) >= 1
