"""Members as a file: whole, in pages, and harmless in a spreadsheet."""

import csv
import io

import pytest

from push_server.audiences import export
from push_server.audiences.export import members_csv
from push_server.audiences.service import find_segment
from push_server.db import Database
from push_server.errors import NotFound
from tests.integration.audiences.shop import EVERYONE, Api


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE", 3)


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("many", [0, 2, 3, 7])
def test_every_member_is_in_the_file_once(api: Api, many: int) -> None:
    api.customers(*(f"c{number}" for number in range(many)))
    id = api.segment("All", EVERYONE)["id"]
    answer = api.client.post(f"/v1/segments/{id}/export")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["content-disposition"] == f'attachment; filename="segment-{id}.csv"'
    header, *found = rows(answer.text)
    assert header == ["external_id", "anonymous_id", "since"]
    assert sorted(found) == [[f"c{number}", "", "2026-03-01T12:00:00Z"] for number in range(many)]


def test_no_cell_is_a_formula(api: Api) -> None:
    names = ["=1+1", "+36", "-2", "@x", '"quoted", ő', "a\nb", "＝1"]
    for name in names:
        api.call("POST", "/v1/track", json={"userId": name, "event": "Seen"})
    api.call("POST", "/v1/track", json={"anonymousId": "=browser", "event": "Seen"})
    id = api.segment("All", EVERYONE)["id"]
    _header, *found = rows(api.client.post(f"/v1/segments/{id}/export").text)
    assert {row[0] for row in found} == {"'=1+1", "'+36", "'-2", "'@x", '"quoted", ő', "a\nb", "'＝1", ""}
    assert [row[1] for row in found if row[1]] == ["'=browser"]


def test_a_stream_takes_an_idempotency_key_and_is_read_again(api: Api) -> None:
    id = api.segment("All", EVERYONE)["id"]
    headers = {"Idempotency-Key": "once"}
    first = api.client.post(f"/v1/segments/{id}/export", headers=headers)
    api.customers("late")
    again = api.client.post(f"/v1/segments/{id}/export", headers=headers)
    assert (first.status_code, again.status_code) == (200, 200)


def test_a_file_whose_segment_is_deleted_breaks_off(api: Api, db: Database) -> None:
    api.customers(*(f"c{number}" for number in range(4)))
    id = api.segment("All", EVERYONE)["id"]
    with db.session(site_id=api.site_id) as session:
        internal = find_segment(session, id).id
    assert internal is not None
    lines = members_csv(db, api.site_id, internal)
    assert [len(rows(next(lines))) for _ in range(2)] == [1, 3]
    api.call("DELETE", f"/v1/segments/{id}", 204)
    with pytest.raises(NotFound):
        next(lines)
