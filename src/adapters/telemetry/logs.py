"""Application logs: one JSON object a line on standard error, with request and trace ids."""

import json
import logging
import sys
from datetime import UTC, datetime

from opentelemetry import trace

from src.domain.context import REQUEST_ID
from src.edge.bounded import place, shortened

# These libraries log addresses, which may hold links, so only their warnings are kept.
QUIET = ("httpx", "httpcore", "stripe", "urllib3", "hpack")


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shortened(record.getMessage()),
        }
        request_id = getattr(record, "request_id", None) or REQUEST_ID.get()
        if request_id:
            line["request_id"] = request_id
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, frames = record.exc_info
            # Only type and place: messages of database and HTTP errors quote values.
            line["error"] = kind.__name__
            line["place"] = place(frames)
        return json.dumps(line)


def configure(level: str) -> None:
    """Send every log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
