"""Which links may be sent to people."""

import re

# Labels of domain names (RFC 1035, RFC 5890). The last one is no number, which excludes every spelling of an address.
# sec.valid_link has the same rule.
LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST = re.compile(rf"(?:{LABEL}\.)+(?:[a-z]{{2,63}}|xn--{LABEL})")
# Names outside of the public DNS: IANA's special-use names, ICANN's reserved ones and common internal ones.
# sec.valid_link has the same ones.
INSIDE = re.compile(
    r"(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|private|corp|home|mail|lan|arpa|onion|alt|test|invalid)"
)
LINK = re.compile(r"https?://(?P<host>[a-z0-9.-]+)(?::\d{1,5})?(?:[/?#][!-\[\]-~]*)?", re.ASCII | re.IGNORECASE)
MAX_HOST_LENGTH = 253
# This machine, and containers with one-word names.
NEAR = re.compile(r"127\.0\.0\.1|[a-z][a-z0-9-]*")


def is_public_host(host: str) -> bool:
    """Whether it is a name that the public DNS may have, not an address or an internal name."""
    name = host.lower()
    known = host.isascii() and len(host) <= MAX_HOST_LENGTH
    return known and HOST.fullmatch(name) is not None and INSIDE.fullmatch(name) is None


def is_public_link(url: str, *, local: bool = False) -> bool:
    """An http(s) URL of visible ASCII without credentials, to a public host; `local` allows near hosts."""
    found = LINK.fullmatch(url)
    if found is None:
        return False
    return is_public_host(found["host"]) or (local and NEAR.fullmatch(found["host"].lower()) is not None)
