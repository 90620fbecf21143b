"""Maps WhatsApp's error codes to what is done next (Meta's list of error codes). Error texts are ignored."""

from collections.abc import Mapping

from src.domain.messaging import SendResult

PAIR_RATE = 131056
PAIR_RATE_SECONDS = 6
"""One message in six seconds to one number."""

RESULTS: Mapping[int, SendResult] = {
    # Throughput limits and outages: retry soon.
    **dict.fromkeys((1, 2, 4, 80007, 130429, 131000, 131016, 131056, 131057, 133004, 133005), SendResult.RETRY),
    # Limits of a number or portfolio, and temporary blocks: retry after a day.
    **dict.fromkeys((368, 131048, 131049, 131064), SendResult.HOLD),
    131047: SendResult.OUTSIDE_WINDOW,
}
"""Everything else is refused: the recipient, our request, our set-up or our token is wrong, and stays so."""
