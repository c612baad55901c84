"""Pages are compressed for who can read that; nothing else is."""

import gzip

import pytest

pytestmark = pytest.mark.django_db
ABLE = {"host": "localhost", "accept-encoding": "gzip"}


def test_a_page_is_compressed_and_reads_the_same(client, shop):
    plain = client.get("/fair-billing", headers={"host": "localhost"})
    packed = client.get("/fair-billing", headers=ABLE)
    assert packed["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed["Vary"]
    assert "Content-Encoding" not in plain
    assert b"<h1>Fair billing</h1>" in gzip.decompress(packed.content)
    assert len(packed.content) < len(plain.content) / 2


@pytest.mark.parametrize("path", ["/brand.css", "/health", "/models/simple", "/static/tollgate.css"])
def test_what_is_no_page_leaves_as_it_is(client, shop, path):
    answer = client.get(path, headers=ABLE)
    assert "Content-Encoding" not in answer
    answer.close()  # a static file is read from its place
