"""A crowd at the canonical door whose provider takes its time: nobody waits with a connection in hand."""

import concurrent.futures

import pytest

from tests.gateway.house import CANONICAL, opened
from tests.gateway.test_oneshots import sell

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.filterwarnings("ignore::ResourceWarning")]
CROWD = 24  # more than the sixteen connections that a process keeps


def test_more_callers_than_connections_are_all_answered_and_charged():
    with opened(CANONICAL) as house:
        sell("thoughtful", "sandbox-embedding+first-byte=4", "embedding", price="2.00")  # longer than one waits: 3 s
        body = {"model": "thoughtful", "input": "A text."}
        with concurrent.futures.ThreadPoolExecutor(CROWD) as crowd:
            answers = list(crowd.map(lambda _: house.post("/v1/embeddings", body), range(CROWD)))
        assert [answer.status_code for answer in answers] == [200] * CROWD
        assert len(house.settled(CROWD)) == CROWD
