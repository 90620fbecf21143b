"""The documents as files that outlive us: PDF/A-3b by its structure, Factur-X by its own schema and rules.

No validator of PDF/A can be had from a package registry, so what it would look at first is looked at here.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import facturx
import pytest
from lxml import etree
from pypdf import PdfReader
from pypdf.generic import DictionaryObject, IndirectObject
from saxonche import PySaxonProcessor

from src.adapters.files.documents import TypstRenderer
from src.adapters.files.xmp import NAMESPACE, with_facturx
from tests.support.documents import CREDIT_NOTE, INVOICE

HOSTILE = {"name": "Zo\u00eb & <Li \u674e>\x0b]]>", "reference": "r"}
CONTENTS = {
    "invoice": INVOICE,
    "credit note": CREDIT_NOTE,
    "invoice with data": INVOICE | {"facturx": True, "buyer": HOSTILE},
    "credit note with data": CREDIT_NOTE | {"facturx": True},
    "seller with a VAT number": INVOICE | {"facturx": True, "seller": INVOICE["seller"] | {"tax_id": "RW123456789"}},
}
CARRYING = [name for name, content in CONTENTS.items() if content["facturx"]]
RULES = Path(facturx.__file__).parent / "xsd_and_schematron/facturx-minimum/Factur-X_1.09_MINIMUM.xsl"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
EXTENSION = "{http://www.aiim.org/pdfa/ns/extension/}"
SCHEMA = "{http://www.aiim.org/pdfa/ns/schema#}"
PROPERTY = "{http://www.aiim.org/pdfa/ns/property#}"
# What PDF/A-3 itself defines (ISO 19005-3, 6.6.2.3); anything else a document must describe.
PREDEFINED = {
    "http://purl.org/dc/elements/1.1/",
    "http://ns.adobe.com/xap/1.0/",
    "http://ns.adobe.com/xap/1.0/t/pg/",
    "http://www.aiim.org/pdfa/ns/id/",
    "http://www.aiim.org/pdfa/ns/extension/",
    "http://ns.adobe.com/pdf/1.3/",
    "http://ns.adobe.com/xap/1.0/mm/",
}


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    renderer = TypstRenderer()
    return {name: renderer.rendered(content) for name, content in CONTENTS.items()}


def catalog_of(reader: PdfReader) -> Any:
    return reader.root_object


def metadata_of(reader: PdfReader) -> Any:
    packet = catalog_of(reader)["/Metadata"]
    assert "/Filter" not in packet
    return etree.fromstring(packet.get_data())


def trailer_of(reader: PdfReader) -> Any:
    return reader.trailer


def objects_of(reader: PdfReader) -> list[Any]:
    return [IndirectObject(number, 0, reader).get_object() for number in range(1, trailer_of(reader)["/Size"])]


@pytest.mark.parametrize("name", CONTENTS)
def test_a_document_is_laid_out_as_pdf_a_3b(documents: dict[str, bytes], name: str) -> None:
    document = documents[name]
    header, comment = document.split(b"\n", 2)[:2]
    assert header == b"%PDF-1.7"
    assert comment[:1] == b"%"
    assert len([byte for byte in comment if byte > 127]) >= 4
    reader = PdfReader(io.BytesIO(document), strict=True)
    assert "/Encrypt" not in reader.trailer
    assert len(trailer_of(reader)["/ID"]) == 2
    [intent] = catalog_of(reader)["/OutputIntents"]
    assert intent.get_object()["/S"] == "/GTS_PDFA1"
    assert intent.get_object()["/DestOutputProfile"].get_object().get_data()[36:40] == b"acsp"
    packet = metadata_of(reader)
    assert packet.findtext(".//{http://www.aiim.org/pdfa/ns/id/}part") == "3"
    assert packet.findtext(".//{http://www.aiim.org/pdfa/ns/id/}conformance") == "B"
    assert reader.metadata is not None
    assert "".join(packet.find(".//{*}title").itertext()) == reader.metadata.title
    dictionaries = [found for found in objects_of(reader) if isinstance(found, DictionaryObject)]
    assert not [found for found in dictionaries if {"/AA", "/JS", "/OpenAction"} & set(found)]
    described = [found for found in dictionaries if found.get("/Type") == "/FontDescriptor"]
    assert described
    assert all({"/FontFile2", "/FontFile3"} & set(found) for found in described)


@pytest.mark.parametrize("name", CONTENTS)
def test_every_property_of_the_metadata_is_described(documents: dict[str, bytes], name: str) -> None:
    packet = metadata_of(PdfReader(io.BytesIO(documents[name])))
    described = {
        (schema.findtext(f"{SCHEMA}namespaceURI"), entry.findtext(f"{PROPERTY}name"))
        for schema in packet.iterfind(f".//{EXTENSION}schemas/{RDF}Bag/{RDF}li")
        for entry in schema.iterfind(f"{SCHEMA}property/{RDF}Seq/{RDF}li")
    }
    used = [etree.QName(found) for about in packet.iterfind(f".//{RDF}Description") for found in about]
    assert len(used) == len(set(used))
    assert {(q.namespace, q.localname) for q in used if q.namespace not in PREDEFINED} <= described


@pytest.mark.parametrize("name", CONTENTS)
def test_only_a_document_that_carries_data_says_so(documents: dict[str, bytes], name: str) -> None:
    reader = PdfReader(io.BytesIO(documents[name]))
    stated = {etree.QName(found).localname: found.text for found in metadata_of(reader).iter(f"{{{NAMESPACE}}}*")}
    if not CONTENTS[name]["facturx"]:
        assert (stated, list(reader.attachments), "/AF" in reader.root_object) == ({}, [], False)
        return
    assert stated == {
        "DocumentType": "INVOICE",
        "DocumentFileName": "factur-x.xml",
        "Version": "1.0",
        "ConformanceLevel": "MINIMUM",
    }
    [attached] = catalog_of(reader)["/AF"]
    attached = attached.get_object()
    assert (attached["/UF"], attached["/AFRelationship"]) == ("factur-x.xml", "/Data")
    embedded = attached["/EF"]["/UF"].get_object()
    assert (embedded["/Type"], embedded["/Subtype"]) == ("/EmbeddedFile", "/text/xml")
    assert "/ModDate" in embedded["/Params"]


@pytest.mark.parametrize("name", CARRYING)
def test_the_data_keeps_factur_x_s_schema_and_rules(documents: dict[str, bytes], name: str) -> None:
    file_name, xml = facturx.get_xml_from_pdf(documents[name], check_xsd=True)
    assert (file_name, facturx.get_level(etree.fromstring(xml))) == ("factur-x.xml", "minimum")
    with PySaxonProcessor(license=False) as saxon:
        rules = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(RULES))
        report = etree.fromstring(rules.transform_to_string(xdm_node=saxon.parse_xml(xml_text=xml.decode())).encode())
    assert len(list(report.iter("{*}fired-rule"))) > 20
    assert ["".join(broken.itertext()).strip() for broken in report.iter("{*}failed-assert")] == []


@pytest.mark.parametrize(
    ("name", "code", "total", "buyer"),
    [
        ("invoice with data", "380", "1234567.89", "Zo\u00eb & <Li \u674e>\ufffd]]>"),
        ("credit note with data", "381", "1250000", "Amina Uwase"),
    ],
)
def test_the_data_says_what_the_page_says(
    documents: dict[str, bytes], name: str, code: str, total: str, buyer: str
) -> None:
    root = etree.fromstring(facturx.get_xml_from_pdf(documents[name])[1])
    assert root.findtext(".//{*}ExchangedDocument/{*}TypeCode") == code
    assert root.findtext(".//{*}ExchangedDocument/{*}ID") == CONTENTS[name]["number"]
    assert root.findtext(".//{*}GrandTotalAmount") == total
    assert root.findtext(".//{*}BuyerTradeParty/{*}Name") == buyer


def test_a_pdf_that_is_laid_out_otherwise_is_refused(documents: dict[str, bytes]) -> None:
    document = documents["invoice"]
    for other in (b"%PDF-1.7", document[:-100], document.replace(b"</rdf:RDF>", b"          ")):
        with pytest.raises(ValueError, match="metadata"):
            with_facturx(other)
