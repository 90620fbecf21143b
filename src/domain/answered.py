"""What a port answers where the answer of the endpoint is finished already."""

from typing import Generic, NamedTuple, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Answered(NamedTuple, Generic[T_co]):
    """A value, and the finished JSON that it was read from."""

    value: T_co
    body: bytes
