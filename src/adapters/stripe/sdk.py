"""The changed part of Stripe's SDK, imported at the first call because importing the SDK is slow."""

from __future__ import annotations

from collections.abc import Mapping

import stripe

from src.edge.json_size import JsonTooLarge, require_within
from src.edge.limits import OF_PROVIDERS


class LimitedClient(stripe.HTTPXClient):
    """The SDK's client, which also refuses answers beyond the JSON limits."""

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: object = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        content, status, answered = await super().request_async(method, url, headers, post_data)
        try:
            require_within(content, OF_PROVIDERS)
        except JsonTooLarge as fault:
            raise stripe.APIConnectionError(str(fault)) from None  # type: ignore[no-untyped-call]  # it has no types
        return content, status, answered
