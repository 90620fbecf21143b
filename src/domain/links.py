"""Links that are handed to people: where they may lead."""

import re

# Labels of a domain name as RFC 1035 and RFC 5890 write them. The last one is no number, so that no spelling of an
# address (decimal, octal, hexadecimal, with fewer parts) is one.
HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,58}[a-z0-9])", re.IGNORECASE
)
# Names that lead into a network (RFC 6761, RFC 6762, RFC 7686, RFC 8375 and ICANN's .internal), and those usual there.
INSIDE = re.compile(r"(?:.*\.)?(?:localhost|local|internal|intranet|private|corp|home|lan|arpa|onion)", re.IGNORECASE)
LINK = re.compile(r"https?://(?P<host>[a-z0-9.-]+)(?::\d{1,5})?(?:[/?#][!-\[\]-~]*)?", re.IGNORECASE)
LONGEST_HOST = 253
THIS_MACHINE = ("localhost", "127.0.0.1")


def is_public_host(host: str) -> bool:
    """A name that the public DNS may know: no address, nothing that leads into somebody's own network."""
    return len(host) <= LONGEST_HOST and HOST.fullmatch(host) is not None and INSIDE.fullmatch(host) is None


def is_public_link(url: str, *, local: bool = False) -> bool:
    """An http(s) address of visible ASCII without credentials, to a public host; `local`: or to this machine."""
    found = LINK.fullmatch(url)
    return found is not None and (is_public_host(found["host"]) or (local and found["host"].lower() in THIS_MACHINE))
