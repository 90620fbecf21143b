"""Adds Factur-X's metadata (Factur-X 1.0, section 6.2) to a PDF, because typst cannot write it."""

from __future__ import annotations

import re

NAMESPACE = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
PROPERTIES = {
    "DocumentType": ("INVOICE", "The type of the document"),
    "DocumentFileName": ("factur-x.xml", "The name of the attached XML document"),
    "Version": ("1.0", "The version of the attached XML document's schema"),
    "ConformanceLevel": ("MINIMUM", "The profile of the attached XML document"),
}

STATED = "".join(f"<fx:{name}>{value}</fx:{name}>" for name, (value, _) in PROPERTIES.items())
# PDF/A allows only properties that the document itself describes.
DESCRIBED = (
    '<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>'
    f"<pdfaSchema:namespaceURI>{NAMESPACE}</pdfaSchema:namespaceURI><pdfaSchema:prefix>fx</pdfaSchema:prefix>"
    "<pdfaSchema:property><rdf:Seq>"
    + "".join(
        f'<rdf:li rdf:parseType="Resource"><pdfaProperty:name>{name}</pdfaProperty:name>'
        "<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"
        f"<pdfaProperty:description>{description}</pdfaProperty:description></rdf:li>"
        for name, (_, description) in PROPERTIES.items()
    )
    + "</rdf:Seq></pdfaSchema:property></rdf:li>"
)

SCHEMAS_END = b"</rdf:Bag></pdfaExtension:schemas>"
RDF_END = b"</rdf:RDF>"
END = re.compile(rb"trailer\s+<<(?P<trailer>.*)>>\s+startxref\s+(?P<xref>\d+)\s+%%EOF\s*\Z", re.DOTALL)
METADATA = re.compile(rb"/Type/Catalog\b.*?/Metadata (?P<number>\d+) 0 R", re.DOTALL)


def with_facturx(document: bytes) -> bytes:
    """The PDF with Factur-X's properties in its metadata, appended as a newer version of that object.

    Raises ValueError for a PDF that typst did not write.
    """
    end, metadata = END.search(document), METADATA.search(document)
    if not end or not metadata:
        message = "No trailer, or no metadata, where typst has it"
        raise ValueError(message)
    number = metadata["number"]
    start = document.index(b"\n%b 0 obj\n" % number)
    packet = document[document.index(b"stream\n", start) + 7 : document.index(b"\nendstream", start)]
    if packet.count(SCHEMAS_END) != 1 or packet.count(RDF_END) != 1:
        message = "The metadata is not one RDF document with one list of schemas"
        raise ValueError(message)
    stated = f'<rdf:Description rdf:about="" xmlns:fx="{NAMESPACE}">{STATED}</rdf:Description>'
    packet = packet.replace(SCHEMAS_END, DESCRIBED.encode() + SCHEMAS_END)
    packet = packet.replace(RDF_END, stated.encode() + RDF_END)
    newer = b"\n%b 0 obj\n<</Length %d/Type/Metadata/Subtype/XML>>\nstream\n%b\nendstream\nendobj\n" % (
        number,
        len(packet),
        packet,
    )
    return b"%b%bxref\n%b 1\n%010d 00000 n \ntrailer\n<<%b/Prev %b>>\nstartxref\n%d\n%%%%EOF" % (
        document,
        newer,
        number,
        len(document) + 1,
        end["trailer"],
        end["xref"],
        len(document) + len(newer),
    )
