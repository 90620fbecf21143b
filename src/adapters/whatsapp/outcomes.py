"""From WhatsApp's error codes to what is to be done (Meta's list of them). Texts are never looked at."""

from collections.abc import Mapping

from src.domain.messaging import SendResult

PAIR_RATE = 131056
PAIR_RATE_SECONDS = 6
"""One message in six seconds to one number."""

RESULTS: Mapping[int, SendResult] = {
    # Throughput and outages: soon again.
    **dict.fromkeys((1, 2, 4, 80007, 130429, 131000, 131016, 131056, 131057, 133004, 133005), SendResult.RETRY),
    # Spam and ecosystem limits of a number, a portfolio's limit, a temporary block: a day's rest.
    **dict.fromkeys((368, 131048, 131049, 131064), SendResult.HOLD),
    131047: SendResult.OUTSIDE_WINDOW,
}
"""Everything else is refused: the recipient, our request, our set-up or our token is wrong, and stays so."""
