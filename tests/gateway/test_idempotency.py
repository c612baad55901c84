"""Idempotency keys over real HTTP: one charge, and a clear answer to every second try."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone

from accounts import keys, trail
from billing.models import Hold, Transfer
from gateway import tasks
from gateway.models import Call, Departure, IdempotencyClaim, KeptAnswer
from tests import factories
from tests.gateway.houses import open_house, sell, stream, until_ended

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
CHAT = {"model": "sandbox-standard", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 60}
PATH = "/v1/chat/completions"


@pytest.fixture
def house():
    with open_house() as house:
        yield house


def charges():
    return Transfer.unscoped.filter(code="usage").count()


def stores(house):
    house.organization.stores_content = True
    house.organization.save()


def test_a_second_try_is_told_the_first_call_when_no_content_is_stored(house):
    first = house.post(PATH, CHAT, **{"idempotency-key": "one"})
    second = house.post(PATH, CHAT, **{"idempotency-key": "one"})
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["error"]["code"] == "conflict"
    assert first.headers["x-call-id"] in second.json()["error"]["message"]
    assert (charges(), Departure.unscoped.count(), KeptAnswer.unscoped.count()) == (1, 1, 0)


def test_a_second_try_gets_the_same_bytes_where_content_is_stored(house):
    stores(house)
    first = house.post(PATH, CHAT, **{"idempotency-key": "one"})
    second = house.post(PATH, CHAT, **{"idempotency-key": "one"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-call-id"] == first.headers["x-call-id"]
    assert (charges(), Departure.unscoped.count()) == (1, 1)


@pytest.mark.parametrize("kept", [False, True])
def test_a_changed_body_is_a_conflict(house, kept):
    if kept:
        stores(house)
    house.post(PATH, CHAT, **{"idempotency-key": "one"})
    second = house.post(PATH, {**CHAT, "max_tokens": 61}, **{"idempotency-key": "one"})
    assert second.status_code == 409
    assert "another request" in second.json()["error"]["message"]
    assert house.post("/v1/messages", CHAT, **{"idempotency-key": "one"}).status_code == 409
    assert charges() == 1


def test_keys_of_other_api_keys_are_other_keys(house):
    assert house.post(PATH, CHAT, **{"idempotency-key": "one"}).status_code == 200
    _, house.secret = factories.make_key(house.organization)
    assert house.post(PATH, CHAT, **{"idempotency-key": "one"}).status_code == 200
    assert charges() == 2


@pytest.mark.parametrize(
    ("key", "status"),
    [("x" * 255, 200), ("x" * 256, 400), ("", 400), ("a b~!", 200), ("tab\there", 400)],
)
def test_what_a_key_may_look_like(house, key, status):
    answer = house.post(PATH, CHAT, **{"idempotency-key": key})
    assert answer.status_code == status, answer.text
    assert IdempotencyClaim.unscoped.count() == (status == 200)


def test_a_stream_is_charged_once_and_not_repeated(house):
    stores(house)
    with stream(house, CHAT, **{"idempotency-key": "one"}) as answer:
        assert "[DONE]" in answer.read().decode()
    with stream(house, CHAT, **{"idempotency-key": "one"}) as answer:
        assert answer.status_code == 409
        assert "not repeated" in answer.read().decode()
    assert (charges(), KeptAnswer.unscoped.count()) == (1, 0)


def test_many_at_once_are_worked_once(house):
    sell("late", "sandbox-standard+first-byte=0.5")

    async def all_at_once():
        headers = {"authorization": f"Bearer {house.secret}", "idempotency-key": "one"}
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=20)) as client:
            answers = await asyncio.gather(
                *(client.post(house.base + PATH, json={**CHAT, "model": "late"}, headers=headers) for _ in range(20))
            )
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(all_at_once()) == [200] + [409] * 19
    assert (charges(), Departure.unscoped.count(), Call.unscoped.count()) == (1, 1, 1)


def test_after_a_failure_a_second_try_is_worked(house):
    sell("broken", "sandbox-standard+status=500")
    for _ in range(2):
        assert house.post(PATH, {**CHAT, "model": "broken"}, **{"idempotency-key": "one"}).status_code == 502
    assert Call.unscoped.count() == 2
    assert IdempotencyClaim.unscoped.count() == 1
    assert charges() == 0


def test_what_is_refused_before_the_books_claims_nothing(house):
    assert house.post(PATH, {**CHAT, "model": "nope"}, **{"idempotency-key": "one"}).status_code == 404
    assert house.post(PATH, CHAT, **{"idempotency-key": "one"}).status_code == 200


def test_after_a_client_timed_out_it_learns_what_became_of_its_call(house):
    stores(house)
    sell("late", "sandbox-standard+first-byte=1")
    body, headers = {**CHAT, "model": "late"}, {"authorization": f"Bearer {house.secret}", "idempotency-key": "one"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(house.base + PATH, json=body, headers=headers, timeout=0.4)
    assert house.post(PATH, body, **{"idempotency-key": "one"}).status_code == 409
    [call] = until_ended(house.organization, 1)
    answer = house.post(PATH, body, **{"idempotency-key": "one"})
    assert answer.status_code in {200, 409}
    assert answer.headers.get("x-call-id", str(call.pk)) == str(call.pk)
    assert charges() == 1


def test_a_key_is_kept_for_a_day_and_then_free(house):
    stores(house)
    house.post(PATH, CHAT, **{"idempotency-key": "one"})
    claims = IdempotencyClaim.unscoped.all()
    claims.update(claimed_at=timezone.now() - timedelta(hours=23, minutes=59))
    tasks.forget_claims()
    assert claims.count() == 1
    assert house.post(PATH, CHAT, **{"idempotency-key": "one"}).headers["idempotency-replayed"] == "true"
    claims.update(claimed_at=timezone.now() - timedelta(hours=25))
    assert "idempotency-replayed" not in house.post(PATH, CHAT, **{"idempotency-key": "one"}).headers
    assert charges() == 2
    claims.update(claimed_at=timezone.now() - timedelta(hours=25))
    KeptAnswer.unscoped.update(kept_at=timezone.now() - timedelta(hours=25))
    tasks.forget_claims()
    assert (claims.count(), KeptAnswer.unscoped.count()) == (0, 0)


def test_a_revoked_key_is_not_given_an_old_answer(house):
    stores(house)
    house.post(PATH, CHAT, **{"idempotency-key": "one"})
    keys.revoke(house.key, now=timezone.now(), source=trail.SYSTEM)
    assert house.post(PATH, CHAT, **{"idempotency-key": "one"}).status_code == 401
    assert Hold.unscoped.count() == 1


EMBED = {"model": "sandbox-embedding", "input": "A text."}


def test_a_one_shot_question_is_worked_once_and_repeated_where_answers_are_kept(house):
    stores(house)
    first = house.post("/v1/embeddings", EMBED, **{"idempotency-key": "one"})
    second = house.post("/v1/embeddings", EMBED, **{"idempotency-key": "one"})
    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-call-id"] == first.headers["x-call-id"]
    other = house.post("/v1/embeddings", {**EMBED, "input": "Another."}, **{"idempotency-key": "one"})
    assert other.status_code == 409
    assert house.post("/v1/embeddings", EMBED, **{"idempotency-key": "x" * 256}).status_code == 400
    assert charges() == 1


def test_many_one_shot_questions_at_once_are_worked_once(house):
    async def all_at_once():
        headers = {"authorization": f"Bearer {house.secret}", "idempotency-key": "one"}
        async with httpx.AsyncClient(timeout=30) as client:
            asked = (client.post(house.base + "/v1/embeddings", json=EMBED, headers=headers) for _ in range(10))
            return sorted(answer.status_code for answer in await asyncio.gather(*asked))

    assert asyncio.run(all_at_once()) == [200] + [409] * 9
    assert (charges(), Call.unscoped.count()) == (1, 1)
