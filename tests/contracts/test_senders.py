"""Senders of WhatsApp messages: one suite on the mock and on the Cloud API's adapter, and what only the API answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from src.adapters.whatsapp.graph import GraphWhatsApp
from src.adapters.whatsapp.mock import MockWhatsApp
from src.domain.messaging import Message, SendOutcome, SendResult, Template
from src.ports.messaging import Sender
from tests.fakes.whatsapp import FakeWhatsApp
from tests.fakes.wire import listening

TEXT = Message(uuid4(), 1, "live", "text", "250788120001", "text", text="Murakaza neza 🌿 à bientôt")
LINK = replace(TEXT, type="link_notice", text="Your\n invoice", url="https://ecotrips.example/i?token=t")
LINK_BY_TEMPLATE = replace(LINK, sent_as="template", link_template="link_notice")
TEMPLATE = replace(
    TEXT,
    type="template",
    sent_as="template",
    text=None,
    template=Template("invoice_ready", "Invoice INV-1", "en_US", (("pay", "Pay"),), {"1": "INV-1"}),
)


@pytest.fixture
def fake() -> FakeWhatsApp:
    return FakeWhatsApp()


@pytest.fixture
async def address(fake: FakeWhatsApp) -> AsyncIterator[str]:
    async with listening(fake) as address:
        yield address


@pytest.fixture
async def graph(fake: FakeWhatsApp, address: str) -> AsyncIterator[GraphWhatsApp]:
    graph = GraphWhatsApp(f"{address}/v26.0", fake.phone_id, fake.token)
    yield graph
    await graph.close()


@pytest.fixture(params=["mock", "graph"])
def sender(request: pytest.FixtureRequest) -> Sender:
    if request.param == "mock":
        return MockWhatsApp()
    found: GraphWhatsApp = request.getfixturevalue("graph")
    return found


@pytest.mark.parametrize(
    "message", [TEXT, LINK, TEMPLATE, replace(LINK, sent_as="template", link_template="link_notice")]
)
async def test_a_message_is_accepted_under_an_id(sender: Sender, message: Message) -> None:
    outcome = await sender.send(message)
    assert outcome.result is SendResult.ACCEPTED
    assert outcome.provider_message_id
    assert outcome.provider_message_id.startswith("wamid.")


async def test_two_messages_get_two_ids(sender: Sender) -> None:
    outcomes = [await sender.send(replace(TEXT, message_id=uuid4())) for _ in range(2)]
    assert outcomes[0].provider_message_id != outcomes[1].provider_message_id


async def test_a_text_goes_as_it_is_and_carries_our_id(graph: Sender, fake: FakeWhatsApp) -> None:
    await graph.send(TEXT)
    [taken] = fake.taken
    assert taken["to"] == "250788120001"
    assert taken["text"] == {"preview_url": False, "body": "Murakaza neza 🌿 à bientôt"}
    assert taken["biz_opaque_callback_data"] == str(TEXT.message_id)


async def test_a_link_notice_is_a_text_with_the_link_on_its_own_line(graph: Sender, fake: FakeWhatsApp) -> None:
    await graph.send(LINK)
    assert fake.taken[0]["text"] == {
        "preview_url": True,
        "body": "Your\n invoice\nhttps://ecotrips.example/i?token=t",
    }


async def test_a_link_notice_by_template_fills_text_and_link(graph: Sender, fake: FakeWhatsApp) -> None:
    await graph.send(replace(LINK, sent_as="template", link_template="link_notice:rw"))
    template = fake.taken[0]["template"]
    assert (template["name"], template["language"]) == ("link_notice", {"code": "rw"})
    assert [parameter["text"] for parameter in template["components"][0]["parameters"]] == ["Your invoice", LINK.url]


async def test_a_template_is_filled_by_number_or_by_name(graph: Sender, fake: FakeWhatsApp) -> None:
    await graph.send(TEMPLATE)
    body, button = fake.taken[0]["template"]["components"]
    assert body["parameters"] == [{"type": "text", "text": "INV-1"}]
    assert button["parameters"] == [{"type": "payload", "payload": "pay"}]
    named = Template("invoice_ready", "x", variables={"number": "INV-1"})
    await graph.send(replace(TEMPLATE, template=named))
    assert fake.taken[1]["template"]["components"][0]["parameters"] == [
        {"type": "text", "parameter_name": "number", "text": "INV-1"}
    ]


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        ("0429", SendOutcome(SendResult.RETRY, error_code=130429)),
        ("0503", SendOutcome(SendResult.RETRY, error_code=131016)),
        ("0056", SendOutcome(SendResult.RETRY, error_code=131056, retry_after=6)),
        ("0048", SendOutcome(SendResult.HOLD, error_code=131048)),
        ("0190", SendOutcome(SendResult.REFUSED, error_code=190)),
        ("0408", SendOutcome(SendResult.UNKNOWN)),
        ("0504", SendOutcome(SendResult.UNKNOWN)),
        ("0505", SendOutcome(SendResult.UNKNOWN)),
    ],
)
async def test_a_failure_says_what_is_to_be_done(graph: Sender, ending: str, outcome: SendOutcome) -> None:
    assert await graph.send(replace(TEXT, recipient=f"25078812{ending}")) == outcome


async def test_an_unknown_template_or_a_wrong_count_is_our_fault(graph: Sender) -> None:
    for template, code in ((Template("nope", "x"), 132001), (Template("invoice_ready", "x"), 132000)):
        assert await graph.send(replace(TEMPLATE, template=template)) == SendOutcome(
            SendResult.REFUSED, error_code=code
        )


async def test_a_server_that_is_not_there_was_not_asked() -> None:
    nobody = GraphWhatsApp("http://127.0.0.1:9/v26.0", "1", "t")
    assert await nobody.send(TEXT) == SendOutcome(SendResult.RETRY)
    await nobody.close()


async def test_an_answer_that_takes_too_long_is_unknown(address: str) -> None:
    def slow(_request: httpx.Request) -> httpx.Response:
        message = "slow"
        raise httpx.ReadTimeout(message)

    graph = GraphWhatsApp(address, "1", "t", httpx.MockTransport(slow))
    assert await graph.send(TEXT) == SendOutcome(SendResult.UNKNOWN)


async def test_what_the_server_says_about_waiting_is_obeyed_within_reason(address: str) -> None:
    for told, expected in (("7", 7), ("99999", 3600), ("soon", None), ("9" * 5000, None), ("-1", None)):
        error = {"error": {"code": 130429}}
        transport = httpx.MockTransport(
            lambda _, told=told: httpx.Response(429, json=error, headers={"retry-after": told})  # noqa: B023
        )
        outcome = await GraphWhatsApp(address, "1", "t", transport).send(TEXT)
        assert outcome == SendOutcome(SendResult.RETRY, error_code=130429, retry_after=expected)


async def test_without_a_token_nothing_is_sent(fake: FakeWhatsApp, address: str) -> None:
    assert await GraphWhatsApp(address, "1000", "").send(TEXT) == SendOutcome(SendResult.REFUSED)
    assert fake.taken == []
