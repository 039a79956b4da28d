"""Several callers of the segments' API at the same time."""

import threading
from datetime import timedelta
from typing import Any

from tests.integration.audiences.shop import EVERYONE, NOW, Api, at, rule


def test_two_edits_at_once_close_no_circle(api: Api) -> None:
    one, two = (api.segment(name, EVERYONE)["id"] for name in ("one", "two"))
    answers: list[int] = []

    def edit(id: str, other: str) -> None:
        answer = api.client.patch(f"/v1/segments/{id}", json={"rule": rule({"segment": other})})
        answers.append(answer.status_code)

    threads = [threading.Thread(target=edit, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 422]


def test_readers_at_once_do_not_collide(api: Api) -> None:
    api.customers(*(f"c{number}" for number in range(20)), vip=True)
    ids = [api.segment(str(number), {"attribute": "vip", "eq": True})["id"] for number in range(3)]
    api.customers("late", vip=True)
    at(NOW + timedelta(seconds=2))
    answers: list[Any] = []

    def read(number: int) -> None:
        paths = [f"/v1/segments/{ids[number % 3]}/members?limit=1000", "/v1/segments", "/v1/customers/late/segments"]
        answers.extend(api.client.get(path).status_code for path in paths)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 18
    assert [len(api.members(id)) for id in ids] == [21, 21, 21]


def test_a_segment_may_be_deleted_while_others_read_it(api: Api) -> None:
    api.customers("a", "b")
    for round in range(5):
        id = api.segment("x", EVERYONE)["id"]
        api.customers(f"late{round}")
        at(NOW + timedelta(minutes=round + 1))
        paths = ["/v1/segments", f"/v1/segments/{id}", f"/v1/segments/{id}/members", "/v1/customers/a/segments"]
        answers: list[int] = []
        calls = [("GET", path) for path in paths] + [("DELETE", f"/v1/segments/{id}")]
        threads = [threading.Thread(target=_status, args=(api, answers, *call)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers.count(204) == 1
        assert set(answers) <= {200, 204, 404}


def _status(api: Api, answers: list[int], method: str, path: str) -> None:
    answers.append(api.client.request(method, path).status_code)
