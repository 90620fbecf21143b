"""From what Postgres raises to what it means: one dict from rule name to domain error, then SQLSTATE classes.

A rule is the constraint name that a function raises with, or that a table declares. The message of a rule that our
own functions raise is written for clients; every other database text stays in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import asyncpg

from src.database.errors import unavailable
from src.domain.errors import Conflict, DomainError, InProgress, InputInvalid, NotAllowed, NotFound, Unavailable

RULES: Mapping[str, type[DomainError]] = {
    "account_covered": Conflict,
    "account_known": Conflict,
    "answer_bounded": InputInvalid,
    "append_only": Conflict,
    "certificate_sound": Conflict,
    "circuit_known": NotFound,
    "data_map_sound": Conflict,
    "deadline_ahead": InputInvalid,
    "erasure_executed": Conflict,
    "escrow_currency": InputInvalid,
    "escrow_known": NotFound,
    "escrow_open": Conflict,
    "escrow_terms_fixed": Conflict,
    "escrow_transition": Conflict,
    "event_in_order": Conflict,
    "event_payment_known": NotFound,
    "event_terms_match": Conflict,
    "exception_known": NotFound,
    "exception_unresolved": Conflict,
    "export_overtaken": Conflict,
    "flag_value_known": InputInvalid,
    "group_known": NotFound,
    "group_open": Conflict,
    "group_settled": Conflict,
    "group_transition": Conflict,
    "hold_key_reused": Conflict,
    "idempotency_key_in_use": InProgress,
    "idempotency_key_reused": Conflict,
    "input_valid": InputInvalid,
    "invoice_captured": Conflict,
    "invoice_fixed": Conflict,
    "invoice_itinerary": Conflict,
    "itinerary_known": NotFound,
    "itinerary_paid": NotFound,
    "ledger_conflict": Conflict,
    "ledger_left_open": Unavailable,
    "ledger_sequence": Conflict,
    "member_known": NotFound,
    "member_of_user": InputInvalid,
    "member_only": NotAllowed,
    "message_known": NotFound,
    "message_transition": Conflict,
    "ops_only": NotAllowed,
    "owner_only": NotAllowed,
    "payment_captured": Conflict,
    "payment_intent_fixed": Conflict,
    "payment_key_chosen": InputInvalid,
    "payment_key_reused": Conflict,
    "payment_known": NotFound,
    "payment_over": Conflict,
    "payment_terms_fixed": Conflict,
    "payment_transition": Conflict,
    "payment_undisputed": Conflict,
    "payout_known": NotFound,
    "payout_once": Conflict,
    "payout_terms_fixed": Conflict,
    "payout_transition": Conflict,
    "payout_undecided": Conflict,
    "permit_date_ahead": InputInvalid,
    "permit_known": NotFound,
    "permit_pending": Conflict,
    "permit_quota": Conflict,
    "permit_terms_fixed": Conflict,
    "permit_transition": Conflict,
    "plan_missing": Conflict,
    "plan_stale": Conflict,
    "postings_balance": Conflict,
    "production_is_live": Conflict,
    "privacy_audit_own": NotAllowed,
    "privacy_key": Conflict,
    "privacy_kind": Conflict,
    "privacy_own_subject": NotAllowed,
    "privacy_request_known": NotFound,
    "privacy_reviewed": Conflict,
    "privacy_secret_long": InputInvalid,
    "privacy_secret_ours": Conflict,
    "privacy_status": Conflict,
    "privacy_terms_fixed": Conflict,
    "privacy_transition": Conflict,
    "refund_key_reused": Conflict,
    "refund_known": NotFound,
    "refund_left": Conflict,
    "refund_terms_fixed": Conflict,
    "refund_to_credit": Conflict,
    "refund_transition": Conflict,
    "refund_within_capture": InputInvalid,
    "refunds_within_captured": Conflict,
    "read_committed": Conflict,
    "service_only": NotAllowed,
    "subject_erased": Conflict,
    "table_mapped": NotFound,
    "user_named": InputInvalid,
}

RETRIED_CODES = frozenset({"40001", "40P01"})


class Translated:
    """Inside this block, database failures leave as domain errors; what means nothing to us leaves as it came."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        meaning = meaning_of(error) if isinstance(error, asyncpg.PostgresError) else None
        if meaning is not None:
            raise meaning from error
        away = unavailable(error)
        if away is not None:
            raise Unavailable(str(away)) from away


# One for all: it keeps nothing.
TRANSLATED = Translated()


def meaning_of(error: asyncpg.PostgresError) -> DomainError | None:
    """The domain error of a broken rule or a missing right, or None."""
    code = error.sqlstate or ""
    rule = RULES.get(getattr(error, "constraint_name", None) or "")
    if rule is not None:
        return rule(_message(error))
    if code == "42501":
        return NotAllowed("Not allowed")
    return None


def _message(error: asyncpg.PostgresError) -> str:
    own = (error.sqlstate or "").startswith("PT") or error.sqlstate == "42501"
    message = getattr(error, "message", None)
    return message if own and isinstance(message, str) else "The request breaks a rule of the data"
