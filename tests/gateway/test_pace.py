"""What counts against the limits beside calls, and what a key is told of them."""

import threading

import httpx
import pytest

from tests import factories
from tests.gateway.fake_provider import chat
from tests.gateway.houses import until_ended
from tests.gateway.test_failover import shop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
ASK = {"model": "m", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 60}


def test_a_quote_counts_as_a_request_and_is_refused_over_the_limit():
    with shop(lambda _: chat()) as (house, [fake]):
        _, house.secret = factories.make_key(house.organization, requests_per_day=2)
        told = [house.post("/v1/quote", ASK) for _ in range(3)]
    assert [answer.status_code for answer in told] == [200, 200, 429]
    assert told[0].headers["x-ratelimit-remaining-requests"] == "1"
    assert "retry-after" in told[2].headers
    assert not fake.heard


def usage(house):
    answer = httpx.get(house.base + "/user/limit", headers={"authorization": f"Bearer {house.secret}"}, timeout=30)
    return answer.json()["current_usage"]


def test_calls_that_run_count_in_what_a_key_is_told_of_its_limits():
    asked, may_answer = threading.Event(), threading.Event()

    def slow(_):
        asked.set()
        may_answer.wait(30)
        return chat()

    with shop(slow) as (house, _):
        _, house.secret = factories.make_key(house.organization, requests_per_day=1)
        standing = [usage(house)["allowed"]]
        talking = threading.Thread(target=house.post, args=("/v1/chat/completions", ASK))
        talking.start()
        assert asked.wait(30)
        standing.append(usage(house)["allowed"])
        may_answer.set()
        talking.join()
        until_ended(house.organization, 1)
        told = usage(house)
    assert [*standing, told["allowed"]] == [True, False, False]
    assert told["reason"] == "The limit of 1 requests per day is reached"
