"""A document's data as Factur-X XML, profile MINIMUM (UN/CEFACT Cross Industry Invoice D16B)."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from src.domain.money import plain

NAMESPACES = {
    "xmlns:rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "xmlns:ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "xmlns:udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
PROFILE = "urn:factur-x.eu:1p0:minimum"
TYPE_CODES = {"invoice": "380", "credit_note": "381"}
YEAR_MONTH_DAY = "102"
# XML 1.0, section 2.2, excludes characters that a database may hold.
NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def facturx(content: Mapping[str, Any]) -> str:
    """The XML of a document's frozen content."""
    root = Element("rsm:CrossIndustryInvoice", NAMESPACES)
    _put(root, "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID", PROFILE)
    document = SubElement(root, "rsm:ExchangedDocument")
    _put(document, "ram:ID", content["number"])
    _put(document, "ram:TypeCode", TYPE_CODES[content["kind"]])
    issued = content["issued_on"].replace("-", "")
    _put(document, "ram:IssueDateTime/udt:DateTimeString", issued, format=YEAR_MONTH_DAY)
    trade = SubElement(root, "rsm:SupplyChainTradeTransaction")
    _agreement(SubElement(trade, "ram:ApplicableHeaderTradeAgreement"), content)
    SubElement(trade, "ram:ApplicableHeaderTradeDelivery")
    _settlement(SubElement(trade, "ram:ApplicableHeaderTradeSettlement"), content)
    return tostring(root, encoding="unicode", xml_declaration=False)


def _agreement(parent: Element, content: Mapping[str, Any]) -> None:
    seller, buyer = content["seller"], content["buyer"]
    _put(parent, "ram:BuyerReference", buyer["reference"])
    party = SubElement(parent, "ram:SellerTradeParty")
    _put(party, "ram:Name", seller["name"])
    # A VAT number begins with its country's prefix (EN 16931, BR-CO-09); any other number is the registration's.
    is_vat_number = seller["tax_id"].startswith(seller["country"])
    if not is_vat_number:
        _put(party, "ram:SpecifiedLegalOrganization/ram:ID", seller["tax_id"])
    _put(party, "ram:PostalTradeAddress/ram:CountryID", seller["country"])
    if is_vat_number:
        _put(party, "ram:SpecifiedTaxRegistration/ram:ID", seller["tax_id"], schemeID="VA")
    _put(parent, "ram:BuyerTradeParty/ram:Name", buyer.get("name", buyer["reference"]))


def _settlement(parent: Element, content: Mapping[str, Any]) -> None:
    currency, tax = content["currency"], content["tax"]
    _put(parent, "ram:InvoiceCurrencyCode", currency)
    sums = SubElement(parent, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
    _put(sums, "ram:TaxBasisTotalAmount", plain(tax["net_cents"], currency))
    _put(sums, "ram:TaxTotalAmount", plain(tax["tax_cents"], currency), currencyID=currency)
    _put(sums, "ram:GrandTotalAmount", plain(content["total_cents"], currency))
    # Both kinds of document record money that has moved already, so nothing is due.
    _put(sums, "ram:DuePayableAmount", plain(0, currency))


def _put(parent: Element, path: str, text: str, **attributes: str) -> None:
    *outer, last = path.split("/")
    for name in outer:
        parent = SubElement(parent, name)
    SubElement(parent, last, attributes).text = NOT_IN_XML.sub("\ufffd", text)
