"""Links that are handed to people: where they may lead."""

import re

# Labels of a domain name as RFC 1035 and RFC 5890 write them. The last one is no number, so that no spelling of an
# address (decimal, octal, hexadecimal, with fewer parts) is one. sec.valid_link has the same rule in SQL.
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = re.compile(rf"(?:{LABEL}\.)+(?:[a-z]{{2,63}}|xn--{LABEL})")
# Names that the public DNS never has (IANA's special-use names, but for those of examples, and ICANN's .internal,
# .corp, .home and .mail), and those usual inside networks. sec.valid_link has the same ones.
INSIDE = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|private|corp|home|mail|lan|arpa|onion|alt|test|invalid)"
)
LINK = re.compile(r"https?://(?P<host>[a-z0-9.-]+)(?::\d{1,5})?(?:[/?#][!-\[\]-~]*)?", re.ASCII | re.IGNORECASE)
MAX_HOST_LENGTH = 253
# This machine, and the one-word names of containers beside it.
NEAR = re.compile(r"127\.0\.0\.1|[a-z][a-z0-9-]*")


def is_public_host(host: str) -> bool:
    """A name that the public DNS may know: no address, nothing that leads into somebody's own network."""
    name = host.lower()
    known = host.isascii() and len(host) <= MAX_HOST_LENGTH
    return known and HOST.fullmatch(name) is not None and INSIDE.fullmatch(name) is None


def is_public_link(url: str, *, local: bool = False) -> bool:
    """An http(s) address of visible ASCII without credentials, to a public host; `local`: or to one that is near."""
    found = LINK.fullmatch(url)
    if found is None:
        return False
    return is_public_host(found["host"]) or (local and NEAR.fullmatch(found["host"].lower()) is not None)
