"""Links that a caller has us send lead to public hosts, by the same rule in Python and in SQL."""

from __future__ import annotations

import asyncpg
import pytest

from src.domain.errors import InputInvalid
from src.domain.links import is_public_host, is_public_link
from src.domain.messaging import MessageRequest
from src.settings import LIVE_SWITCHES
from tests.conftest import Api, serving
from tests.support.endpoints import declared

PUBLIC = [
    "https://ops.ecotrips.africa/storage/v1/object/sign/invoices/x.pdf?token=a.b-c_d&download=x%20y.pdf",
    "http://ecotrips.africa",
    "HTTPS://Ops.EcoTrips.Africa:8443/x",
    "https://xn--bcher-kva.example/",
    "https://xn--e1afmkfd.xn--80akhbyknj4f/path",
    "https://ecotrips.africa?x=http://localhost/@",
    "https://ecotrips.africa#a:b@c",
    "https://1.2.3.4.ecotrips.africa/",
    "https://mylocal.example/",
    "https://home.example/",
]
LOCAL = [
    *("http://testserver/x", "http://app:8000", "http://127.0.0.1:8000/storage/v1/object/sign/x"),
    *("http://localhost/x", "http://LOCALHOST:8000"),
]
INSIDE = [
    "http://user:pw@x/",
    "https://user@ecotrips.africa/",
    "https://:@ecotrips.africa/",
    "https://ecotrips.africa@evil.example/",
    "https://user:pw@ecotrips.africa/",
    "https://user%40x@ecotrips.africa/",
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254.:80/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://0251.0376.0251.0376/",
    "http://0251.254.169.254/",
    "http://169.16689662/",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::1]/",
    "http://[fe80::1%25eth0]/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://metadata.google.internal./",
    "http://localhost./",
    "http://localhost.localdomain./",
    "http://app.localhost/",
    "http://printer.local/",
    "http://router.lan/",
    "http://x.home.arpa/",
    "http://x.onion/",
    "http://localhost.localdomain/",
    *("http://x.alt/", "http://x.test/", "http://x.invalid/", "http://x.mail/", "http://x.corp/", "http://x.home/"),
    "http://127.1/",
    "http://127.0.0.2/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://8.8.8.8/",
    "http://1.2.3.4.5/",
    "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/",
    "http://ⓛocalhost/",
    "http://loca\u017fhost/",
    "https://\u0435cotrips.africa/",
    "https://bücher.example/",
    "https://ecotrips\u3002africa/",
    "https://ecotrips.africa/\u202egnp.exe",
    "https://ecotrips.africa/ü",
    "https://ecotrips.africa\\@evil.example/",
    "https://ecotrips.africa/\\evil",
    "https://ecotrips.africa/a b",
    "https://ecotrips.africa/\x7f",
    "https://ecotrips.africa/\tx",
    "https://ecotrips.africa/\nx",
    "https://ecotrips.africa:99999999/",
    "https://ecotrips.africa:x/",
    "https://ecotrips.africa:/",
    "https://ecotrips..africa/",
    "https://.africa/",
    "https://-a.africa/",
    "https://a-.africa/",
    "https://a_b.africa/",
    "https://ecotrips.a/",
    "https://ecotrips.4frica/",
    "https://ecotrips.africa./",
    "https://ecotrips.africa,evil.example/",
    "https://ecotrips.africa;evil.example/",
    "https://%65cotrips.africa/",
    f"https://{'a' * 64}.africa/",
    f"https://{'a.' * 126}africa/",
]
NO_LINKS = [
    *("", " ", "https://", "https:///x", "//ecotrips.africa/", "ecotrips.africa", "ftp://ecotrips.africa/"),
    *("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "gopher://x.example/", "http:/x.example/"),
    *("https:ecotrips.africa", "https://?x", "https://#x", " javascript://x.example/%0aalert(1)"),
]
SEND = "select send_message('link_notice', '250788123456', 'Your invoice', $1) ->> 'status'"


@pytest.mark.parametrize("url", PUBLIC)
async def test_a_public_link_is_sent(admin: asyncpg.Connection, url: str) -> None:
    assert is_public_link(url)
    assert await admin.fetchval(SEND, url) == "queued"
    assert await admin.fetchval(SEND, f" {url}\n") == "queued"


async def test_a_link_that_leads_inside_is_not_sent(admin: asyncpg.Connection) -> None:
    assert await admin.fetchval("select ops.flag('WA_OFFLINE')") == "0"
    for url in (*INSIDE, *LOCAL):
        assert not is_public_link(url), url
        with pytest.raises(asyncpg.PostgresError, match="url must lead to a public host, without credentials"):
            await admin.execute(SEND, url)
    for url in NO_LINKS:
        assert not is_public_link(url), url
        with pytest.raises(asyncpg.PostgresError, match="url must be an http or https link"):
            await admin.execute(SEND, url)
    assert await admin.fetchval("select count(*) from wa.messages") == 0


async def test_a_mocks_link_may_name_this_machine_and_nothing_else(api: Api, admin: asyncpg.Connection) -> None:
    notice = {"type": "link_notice", "to": "+250788123456", "text": "Your invoice"}
    for url in LOCAL:
        assert is_public_link(url, local=True), url
        assert (await api.post("wa-send", notice | {"url": url}, api.service)).status_code == 200
    for url in INSIDE:
        assert not is_public_link(url, local=True), url
        answer = await api.post("wa-send", notice | {"url": url}, api.service)
        assert answer.status_code == 400, url
        assert answer.json()["error"] == "url must lead to a public host, without credentials", url
        called = {"p_type": "link_notice", "p_recipient": "250788123456", "p_text": "x", "p_url": url}
        refused = await api.http.post("/rest/v1/rpc/send_message", json=called, headers=api.service)
        assert (refused.status_code, refused.json()["message"]) == (400, answer.json()["error"]), url
    assert await admin.fetchval("select count(*) from wa.messages") == len(LOCAL)


async def test_a_live_link_may_not_name_this_machine(database: str) -> None:
    async with serving(database, switches=LIVE_SWITCHES) as live:
        for url in LOCAL:
            notice = {"type": "link_notice", "to": "+250788123456", "text": "Your invoice", "url": url}
            answer = await live.post("wa-send", notice, live.service)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"] == "url must lead to a public host, without credentials"


def test_every_fault_of_a_request_is_still_named_at_once() -> None:
    with pytest.raises(InputInvalid) as caught:
        MessageRequest("link_notice", "x", "Your invoice", "http://10.0.0.1/")
    assert [error.split(" must ")[0] for error in caught.value.errors] == ["to", "url"]


def test_hosts_are_compared_without_their_case() -> None:
    assert is_public_host("Ops.EcoTrips.Africa")
    assert not is_public_host("METADATA.GOOGLE.INTERNAL")
    # Its small letter is an ASCII one.
    assert not is_public_host("\u212aigali.example")


async def test_no_other_field_or_argument_is_a_link(admin: asyncpg.Connection) -> None:
    """A new one has to be held to the rule, and named here."""
    words = ("url", "uri", "link", "href", "address", "host", "callback", "webhook", "endpoint")
    fields = {
        (endpoint.name, field)
        for endpoint in declared()
        for field in (endpoint.input.__struct_fields__ if endpoint.input else ())
        if any(word in field.lower() for word in words)
    }
    assert fields == {("wa-send", "url")}
    arguments = await admin.fetch(
        """
        select p.oid::regproc::text, name from pg_proc p, unnest(p.proargnames[1:p.pronargs]) as name
        where p.proowner = 'ecotrips_owner'::regrole and name ~ ($1)
          and has_function_privilege('service_role', p.oid, 'execute')
        """,
        "|".join(words),
    )
    others = {("send_message", "p_link_template"): "a template's name", ("fin.set_seller", "p_address"): "of its post"}
    assert {tuple(row) for row in arguments} - others.keys() == {("send_message", "p_url")}
