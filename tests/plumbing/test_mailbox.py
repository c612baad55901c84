"""Letters of an installation without a mail server: kept for their owner, shown to this machine alone."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.mail import EmailMultiAlternatives, get_connection, send_mail
from django.test import Client

from plumbing import mailbox
from plumbing.views import _is_here

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
BACKEND = "plumbing.mailbox.MailboxBackend"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    settings.EMAIL_BACKEND = BACKEND
    return tmp_path / "mail"


class TestKeeping:
    def test_a_letter_is_a_file_its_owner_alone_can_read(self, folder: Path) -> None:
        assert send_mail("Hello", "canary text", "shop@example.com", ["bob@example.com"]) == 1
        (path,) = folder.iterdir()
        assert path.suffix == ".eml"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (kept,) = mailbox.letters()
        assert (kept.sender, kept.recipients, kept.subject) == ("shop@example.com", "bob@example.com", "Hello")
        assert kept.text.strip() == "canary text"
        assert kept.html == ""

    def test_the_log_says_to_whom_and_about_what_but_not_what(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        send_mail("Your code", "canary 123456", "shop@example.com", ["bob@example.com"])
        assert len(caplog.records) == 1
        assert "Your code" in caplog.text
        assert "bob@example.com" in caplog.text
        assert "canary" not in caplog.text

    def test_the_newest_two_hundred_stay(self, folder: Path) -> None:
        for n in range(mailbox.KEPT + 3):
            mailbox.keep(b"Subject: %d\r\n\r\nx" % n, now=NOW + timedelta(seconds=n))
        kept = mailbox.letters()
        assert len(kept) == len(list(folder.iterdir())) == mailbox.KEPT
        assert (kept[0].subject, kept[-1].subject) == (str(mailbox.KEPT + 2), "3")
        assert kept[0].sent_at == NOW + timedelta(seconds=mailbox.KEPT + 2)

    def test_letters_of_the_same_moment_do_not_meet(self) -> None:
        assert len({mailbox.keep(b"Subject: x\r\n\r\n", now=NOW) for _ in range(20)}) == 20

    def test_a_letter_without_anything_is_still_a_letter(self) -> None:
        name = mailbox.keep(b"", now=NOW)
        assert mailbox.letter(name).subject == "(no subject)"

    @pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "20260501T120000000000-00000000", "x" * 300])
    def test_no_name_leads_elsewhere(self, name: str) -> None:
        with pytest.raises(mailbox.NoSuchLetter):
            mailbox.letter(name)

    def test_files_of_others_in_the_folder_are_left_alone(self, folder: Path) -> None:
        mailbox.keep(b"Subject: x\r\n\r\n", now=NOW)
        (folder / "notes.eml").write_text("mine")
        assert len(mailbox.letters()) == 1

    def test_both_forms_of_a_letter_are_found(self) -> None:
        _letter()
        (kept,) = mailbox.letters()
        assert "plain ünïcode" in kept.text
        assert "<script>" in kept.html

    def test_no_letters_is_no_trouble(self) -> None:
        assert get_connection(BACKEND).send_messages([]) == 0
        assert mailbox.letters() == []


def _letter() -> str:
    letter = EmailMultiAlternatives(
        "Hello <b>&", "plain ünïcode https://x.example/", "Shop <shop@example.com>", ["bob@example.com"]
    )
    letter.attach_alternative("<p>rich</p><script>alert(1)</script>", "text/html")
    letter.send()
    return mailbox.letters()[0].name


@pytest.mark.django_db
@pytest.mark.urls("plumbing.urls")
class TestPage:
    @pytest.fixture(autouse=True)
    def _shop(self, shop: Any) -> None:
        """The default storefront answers on localhost."""

    def _get(self, path: str, host: str = "localhost:8000", **meta: Any) -> Any:
        return Client().get(path, HTTP_HOST=host, **meta)

    def test_a_list_and_a_letter(self) -> None:
        empty = self._get("/mailbox/")
        assert "No letters yet" in empty.content.decode()
        name = _letter()
        listed = self._get("/mailbox/").content.decode()
        assert f"/mailbox/{name}/" in listed
        assert "Hello &lt;b&gt;&amp;" in listed
        page = self._get(f"/mailbox/{name}/")
        shown = page.content.decode()
        assert "plain ünïcode" in shown
        assert "<script>" not in shown
        assert "sandbox title=" in shown
        assert "no-store" in page["Cache-Control"]

    def test_html_is_served_where_nothing_runs_and_nothing_loads(self) -> None:
        response = self._get(f"/mailbox/{_letter()}/html")
        assert "<p>rich</p>" in response.content.decode()
        policy = response["Content-Security-Policy"]
        assert policy.startswith("sandbox; default-src 'none'")
        assert "script" not in policy
        assert "allow" not in policy
        assert response["X-Frame-Options"] == "SAMEORIGIN"

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000", "LOCALHOST"])
    def test_this_machine_by_its_names(self, host: str) -> None:
        assert self._get("/mailbox/", host).status_code == 200

    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
    def test_peers_on_this_machine(self, peer: str) -> None:
        assert self._get("/mailbox/", REMOTE_ADDR=peer).status_code == 200

    @pytest.mark.parametrize(
        "meta",
        [
            {"REMOTE_ADDR": "192.168.1.5"},
            {"REMOTE_ADDR": "203.0.113.9"},
            {"REMOTE_ADDR": "::ffff:203.0.113.9"},
            {"REMOTE_ADDR": ""},
            {"REMOTE_ADDR": "unix:"},
            {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            {"HTTP_X_FORWARDED_FOR": ""},
            {"HTTP_X_FORWARDED_HOST": "localhost"},
            {"HTTP_X_FORWARDED_PROTO": "https"},
            {"HTTP_FORWARDED": "for=127.0.0.1"},
            {"HTTP_X_REAL_IP": "127.0.0.1"},
            {"HTTP_VIA": "1.1 proxy"},
        ],
    )
    def test_for_everybody_else_there_is_nothing_here(self, meta: dict[str, str]) -> None:
        name = _letter()
        for path in ("/mailbox/", f"/mailbox/{name}/", f"/mailbox/{name}/html"):
            response = self._get(path, **meta)
            assert response.status_code == 404
            assert "plain" not in response.content.decode()

    @pytest.mark.parametrize(
        "host", ["shop.example.com", "localhost.evil.example", "127.0.0.1.nip.io", "evil:localhost", ""]
    )
    def test_another_name_for_this_machine_is_not_believed(self, host: str) -> None:
        request = Client().get("/mailbox/", HTTP_HOST="localhost").wsgi_request
        assert _is_here(request)
        request.META["HTTP_HOST"] = host
        assert not _is_here(request)

    def test_production_has_no_such_page(self, settings: Any) -> None:
        settings.PRODUCTION = True
        assert self._get("/mailbox/").status_code == 404

    def test_an_unknown_letter_and_a_post_are_refused(self) -> None:
        assert self._get("/mailbox/20260501T120000000000-00000000/").status_code == 404
        assert self._get("/mailbox/nothing/html").status_code == 404
        assert Client().post("/mailbox/", HTTP_HOST="localhost").status_code == 405
