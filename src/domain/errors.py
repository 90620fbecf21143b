"""What can be refused or fail, by meaning. The edge turns each into a status by one table (http/problems.py).

DomainError
├── InputInvalid          malformed or missing input; every fault at once
├── CallerUnknown         no caller, or a token that does not verify
├── NotAllowed            a known caller without the right
├── NotFound              the named row does not exist for this caller
├── Conflict              the row's state forbids it, a duplicate that differs, a lost race
│   └── InProgress        the same request still runs
├── RateLimited           own limit, or a supplier's after retries
├── ProviderFailed        the payment provider said no or broke
│   ├── CardDeclined
│   └── ProviderUnknown   nobody knows whether it did what it was asked
├── SupplierFailed        HBX or WhatsApp did not answer
│   ├── SupplierRefused
│   └── CircuitOpen
└── Unavailable           the database is away or busy; try again
"""


class DomainError(Exception):
    """A refusal or failure with a message that a client may read; never personal data."""


class InputInvalid(DomainError):
    """The input is malformed; `errors` lists each fault in field order."""

    def __init__(self, *errors: str) -> None:
        super().__init__(errors[0])
        self.errors = errors


class CallerUnknown(DomainError):
    """No caller, or a token that does not verify."""


class NotAllowed(DomainError):
    """The caller is known but has no right to this."""


class NotFound(DomainError):
    """The named row does not exist, or the caller may not know that it does."""


class Conflict(DomainError):
    """The row's state forbids it, a duplicate differs, or a race was lost."""


class Delayed(DomainError):
    """Retrying makes sense after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InProgress(Delayed, Conflict):
    """The same request is still running."""


class RateLimited(Delayed):
    """Too many calls: our own limit, or a supplier's after retries."""


class ProviderFailed(DomainError):
    """The payment provider refused or broke; nothing may be reported as done. `code` is its own name for why."""

    def __init__(self, message: str, code: str = "provider_error") -> None:
        super().__init__(message)
        self.code = code


class CardDeclined(ProviderFailed):
    """The payment provider declined the card."""


class ProviderUnknown(ProviderFailed):
    """No answer of the payment provider: what it was asked for may have happened or not."""


class SupplierFailed(DomainError):
    """A supplier did not answer in time."""


class SupplierRefused(SupplierFailed):
    """A supplier said no for good."""


class CircuitOpen(Delayed, SupplierFailed):
    """The supplier is not called until its circuit closes."""


class QuotaSpent(RateLimited):
    """The supplier refuses until `retry_after` seconds have passed, such as for a daily quota."""


class CredentialsRefused(SupplierFailed):
    """The supplier refuses our credentials; ops have to correct the settings."""


class Unavailable(Delayed):
    """The database is away or busy, or kept losing serialization races."""
