"""What is changed of Stripe's SDK. It takes a fifth of a second to import, so this is imported at the first call."""

from __future__ import annotations

from collections.abc import Mapping

import stripe

from src.edge.json_size import JsonTooLarge, require_within
from src.edge.limits import OF_PROVIDERS


class LimitedClient(stripe.HTTPXClient):
    """The SDK's own, for which an answer that is deeper or larger than any of Stripe's is no answer."""

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        content, status, answered = await super().request_async(method, url, headers, post_data)
        try:
            require_within(content, OF_PROVIDERS)
        except JsonTooLarge as fault:
            raise stripe.APIConnectionError(str(fault)) from None  # type: ignore[no-untyped-call]  # it has no types
        return content, status, answered
