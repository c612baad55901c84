import hashlib
import json
import time

import pytest
from django.core import mail

from accounts import keys, leaks, trail
from accounts.models import AuditEvent
from accounts.models.keys import KeyKind
from plumbing import outbox
from tests import factories

pytestmark = pytest.mark.django_db
URL = "/api/v1/leaked-keys"
PLACE = "https://github.com/octocat/Hello-World/blob/main/.env"


@pytest.fixture
def report(client, scanner):
    """Send a signed report; ``headers`` replaces or (with None) removes some."""

    def send(records, *, body=None, **headers):
        body = json.dumps(records).encode() if body is None else body
        signed = {name: value for name, value in (scanner(body) | headers).items() if value is not None}
        mail.outbox.clear()
        answer = client.generic(
            "POST", URL, body, content_type="application/json", headers={"host": "localhost"} | signed
        )
        outbox.drain()
        return answer

    return send


def record(token, **more):
    return {"token": token, "type": "tollgate_api_key", "url": PLACE, "source": "content"} | more


def test_a_live_key_is_revoked_recorded_and_told_once(report, organization, bob):
    minted = keys.create(
        organization=organization, storefront=None, made_by=bob, kind=KeyKind.INFERENCE, label="in a commit",
        source=trail.SYSTEM,
    )  # fmt: skip
    answer = report([record(minted.secret)])
    assert answer.status_code == 200
    assert answer.json() == [
        {
            "token_hash": hashlib.sha256(minted.secret.encode()).hexdigest(),
            "token_type": "tollgate_api_key",
            "label": "true_positive",
        }
    ]
    minted.key.refresh_from_db()
    assert minted.key.revoked_at
    event = AuditEvent.objects.get(action="key.revoked")
    assert PLACE in event.reason
    assert sorted(letter.to[0] for letter in mail.outbox) == ["alice@example.com", "bob@example.com"]
    assert PLACE in mail.outbox[0].body
    assert minted.secret not in str([letter.message() for letter in mail.outbox]) + str(
        list(AuditEvent.objects.values())
    )
    again = report([record(minted.secret)])
    assert again.json() == answer.json()
    assert mail.outbox == []
    assert AuditEvent.objects.filter(action="key.revoked").count() == 1


def test_what_never_was_a_key_is_a_false_positive_and_costs_no_query(report, shop):
    answer = report([record("sk-tg-" + "a" * 33), record("ghp_something else entirely")])
    assert [found["label"] for found in answer.json()] == ["false_positive"] * 2


def test_keys_of_every_kind_and_shop_are_ended(report, organization, other_shop):
    clerk = factories.make_staff(other_shop)
    minted = [
        keys.create(
            organization=None, storefront=storefront, made_by=maker, kind=KeyKind.OPERATOR, label="op",
            source=trail.SYSTEM,
        )
        for storefront, maker in ((other_shop, clerk), (None, factories.make_staff()))
    ]  # fmt: skip
    management = factories.make_key(organization, kind=KeyKind.MANAGEMENT)[1]
    answer = report([record(secret) for secret in (minted[0].secret, minted[1].secret, management)])
    assert {found["label"] for found in answer.json()} == {"true_positive"}
    assert len(mail.outbox) == 3
    assert AuditEvent.objects.filter(action="key.revoked").count() == 3


def test_nobody_is_written_to_where_no_shop_could_write(other_shop):
    staff = factories.make_staff()
    minted = keys.create(
        organization=None, storefront=None, made_by=staff, kind=KeyKind.OPERATOR, label="o", source=trail.SYSTEM
    )
    found = leaks.handle([leaks.Report(minted.secret, "x", "")], source=trail.SYSTEM, now=minted.key.created_at)
    assert found[0].label == "true_positive"


@pytest.mark.parametrize(
    "headers",
    [
        {"Github-Public-Key-Signature": None},
        {"Github-Public-Key-Identifier": None},
        {"Github-Public-Key-Signature": ""},
        {"Github-Public-Key-Signature": "not base64!"},
        {"Github-Public-Key-Signature": "QUJD"},
        {"Github-Public-Key-Signature": "A" * 5000},
        {"Github-Public-Key-Signature": "\xff\xfe"},
    ],
)
def test_a_bad_signature_is_400_and_nothing_ends(report, organization, headers):
    key, secret = factories.make_key(organization)
    answer = report([record(secret)], **headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_signature"
    key.refresh_from_db()
    assert key.revoked_at is None


def test_a_signature_over_other_bytes_is_400(report, scanner, organization):
    key, secret = factories.make_key(organization)
    stolen = scanner(b"[]")
    assert report([record(secret)], **stolen).status_code == 400
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize(
    "setting", ["", "  \n", "not a key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_unconfigured_is_503(report, settings, shop, setting):
    settings.SECRET_SCANNING_PUBLIC_KEY = setting
    assert report([]).status_code == 503


def test_one_of_several_keys_may_have_signed(report, settings, shop):
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    settings.SECRET_SCANNING_PUBLIC_KEY = pem + settings.SECRET_SCANNING_PUBLIC_KEY
    assert report([]).json() == []
    settings.SECRET_SCANNING_PUBLIC_KEY = pem
    assert report([]).status_code == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[1]", b'[{"token": 1, "type": "x"}]', b'[{"type": "x"}]', b'[{"token": "\\u0000", "type": "x"}]',
     b"[" * 50_000, b"\xff", b'[{"token": "a", "type": null}]', b'[{"token": "' + b"a" * 1001 + b'", "type": "x"}]'],
)  # fmt: skip
def test_a_malformed_report_is_400_even_when_signed(report, shop, body):
    assert report(None, body=body).status_code == 400


def test_fields_the_partner_adds_later_are_left_alone(report, shop):
    assert report([record("x", commit="abc", url=None)]).status_code == 200


def test_ten_thousand_records_are_refused_and_a_thousand_are_quick(report, organization):
    _, secret = factories.make_key(organization)
    assert report([record("x")] * 1001).status_code == 400
    assert report([record("x")] * 10_000).status_code == 413
    started_at = time.perf_counter()
    answer = report([record(f"junk {number}") for number in range(999)] + [record(secret)])
    assert answer.json()[-1]["label"] == "true_positive"
    assert time.perf_counter() - started_at < 5


def test_a_huge_body_is_413(report, shop):
    assert report(None, body=b"[" + b" " * 2_000_000 + b"]").status_code == 413
