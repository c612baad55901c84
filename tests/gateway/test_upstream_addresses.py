"""Where calls may go: every spelling of an inner address, names that change their mind, and certificates."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl

import pytest
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.upstream import ConnectFailed, Refused, Request, Timeouts, Unsendable, Upstream, UpstreamError
from gateway.upstream.addresses import NotThere, private_socket, public_socket
from tests.gateway.raw_upstream import plain, raw_upstream

QUICK = Timeouts(connect_s=0.5, first_byte_s=1, idle_s=1, total_s=2)


async def answers(talk):
    await talk.say(plain(b"ok"))


async def ask(client, url, *, allow_private=False):
    return await client.whole(Request(method="POST", url=url, timeouts=QUICK, allow_private=allow_private))


def info(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (address, 443))


INNER = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
    *("::1", "fc00::1", "fd12::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
]
NOWHERE = [
    *("169.254.169.254", "169.254.0.1", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
    *("0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::1", "240.0.0.1", "::ffff:0.0.0.0"),  # noqa: S104 - nobody binds here
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "104.18.6.192", "2606:4700::1111", "2001:4860:4860::8888"]


@pytest.mark.parametrize("address", [*INNER, *NOWHERE])
def test_no_socket_for_an_inner_address_unless_the_row_says_so(address):
    with pytest.raises(NotThere):
        public_socket(info(address))


@pytest.mark.parametrize("address", NOWHERE)
def test_no_socket_for_nobodys_address_whatever_the_row_says(address):
    with pytest.raises(NotThere):
        private_socket(info(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_gets_its_socket(address):
    public_socket(info(address)).close()
    private_socket(info(address)).close()


@pytest.mark.parametrize("address", INNER)
def test_an_inner_address_gets_its_socket_where_the_row_says_so(address):
    private_socket(info(address)).close()


SPELLINGS = [
    *("https://127.0.0.1:{p}/", "https://localhost:{p}/", "https://2130706433:{p}/", "https://0x7f000001:{p}/"),
    *("https://0177.0.0.1:{p}/", "https://127.1:{p}/", "https://0x7f.1:{p}/", "https://[::1]:{p}/"),
    *("https://[::ffff:127.0.0.1]:{p}/", "https://[::ffff:7f00:1]:{p}/", "https://0.0.0.0:{p}/", "https://0:{p}/"),
    *("https://[::]:{p}/", "https://127.0.0.1.:{p}/", "https://LOCALHOST:{p}/", "https://localhost.:{p}/"),
    *("https://169.254.169.254/latest/meta-data/", "https://[fe80::1]/", "https://10.0.0.1/", "https://192.168.0.1/"),
    *("http://127.0.0.1:{p}/", "http://api.openai.com/", "ftp://127.0.0.1:{p}/", "file:///etc/passwd", "gopher://x/"),
    *("https://user:password@127.0.0.1:{p}/", "https://127.0.0.1:{p}@example.com/", "//127.0.0.1:{p}/", "/v1"),
    *("https://127.0.0.1:{p}\\@example.com/", "https://127.0.0.1:{p}\r\nHost: x/", "https://127.0.0.1 :{p}/"),
    *("https://127。0。0。1:{p}/", "https://①②⑦.0.0.1:{p}/", "https://", "", "https://:{p}/", "https://x:99999/"),
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_an_inner_address_is_connected_to(spelling):
    async def run():
        async with raw_upstream(answers) as inner, Upstream() as client:
            with pytest.raises(UpstreamError) as caught:
                await ask(client, spelling.format(p=inner.port))
            assert not caught.value.sent
            assert "password" not in str(caught.value).replace("a name or password", "")
            return caught.value, inner.connections

    failure, connections = asyncio.run(run())
    assert isinstance(failure, (Refused, Unsendable, ConnectFailed))
    assert connections == 0


class Names(AbstractResolver):
    """A name server of the attacker's."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        common = {"hostname": host, "port": port, "proto": 0, "flags": socket.AI_NUMERICHOST}
        return [
            {**common, "host": address, "family": socket.AF_INET6 if ":" in address else socket.AF_INET}
            for address in addresses
        ]

    async def close(self):
        pass


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["::1", "127.0.0.1"], ["127.0.0.1", "10.0.0.1", "::1"]])
def test_a_name_that_leads_inside_is_refused(addresses):
    async def run():
        async with raw_upstream(answers) as inner, Upstream(resolver=Names(addresses)) as client:
            with pytest.raises(Refused):
                await ask(client, f"https://rebind.example:{inner.port}/")
            return inner.connections

    assert asyncio.run(run()) == 0


def test_a_name_that_changes_its_mind_is_refused_at_its_next_connection():
    """The rows were checked when the provider was added; only the connection itself can tell what is true now."""

    async def run():
        names = Names(["192.0.2.1"], ["127.0.0.1"])  # first an address for documentation, then ours
        async with raw_upstream(answers) as inner, Upstream(resolver=names) as client:
            for _ in range(2):
                with pytest.raises((Refused, ConnectFailed)):
                    await ask(client, f"https://rebind.example:{inner.port}/")
                for pool in client._pools.values():
                    pool.connector.clear_dns_cache()
            return names.asked, inner.connections

    assert asyncio.run(run()) == (2, 0)


def test_a_connection_made_with_permission_serves_nobody_without():
    async def run():
        async with raw_upstream(answers) as inner, Upstream() as client:
            assert (await ask(client, inner.url, allow_private=True)).status == 200
            with pytest.raises(Refused):
                await ask(client, inner.url.replace("http:", "https:"))
            with pytest.raises(Refused):
                await ask(client, inner.url)
            return inner.connections

    assert asyncio.run(run()) == 1


# --- certificates ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate for provider.test, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "provider.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("provider.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "provider.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


def over_tls(certificates, name, *, trusted):
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificates)
    trust = ssl.create_default_context(cafile=certificates) if trusted else None

    async def run():
        async with (
            raw_upstream(answers, ssl=serving) as provider,
            Upstream(trust=trust, resolver=Names(["127.0.0.1"])) as client,
        ):
            for _ in range(3):
                answer = await ask(client, f"https://{name}:{provider.port}/", allow_private=True)
            return answer.body, provider.connections

    return asyncio.run(run())


def test_a_trusted_certificate_is_spoken_to_and_its_connection_kept(certificates):
    assert over_tls(certificates, "provider.test", trusted=True) == (b"ok", 1)


@pytest.mark.parametrize(("name", "trusted"), [("provider.test", False), ("elsewhere.test", True)])
def test_a_certificate_that_is_not_theirs_is_refused(certificates, name, trusted):
    with pytest.raises(ConnectFailed, match="TLS"):
        over_tls(certificates, name, trusted=trusted)


def test_plain_http_behind_https_is_a_failed_connection():
    async def run():
        async with raw_upstream(answers) as provider, Upstream() as client:
            with pytest.raises(UpstreamError) as caught:
                await ask(client, provider.url.replace("http:", "https:"), allow_private=True)
            return caught.value

    assert asyncio.run(run()).sent is False
