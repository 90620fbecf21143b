"""What a port returns when SQL has already made the endpoint's answer."""

from typing import Generic, NamedTuple, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Answered(NamedTuple, Generic[T_co]):
    """A value, and the JSON that it was read from."""

    value: T_co
    body: bytes
