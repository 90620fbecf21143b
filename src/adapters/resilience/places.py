from src.adapters.resilience.memory import Memory
from src.domain.context import Context
from src.domain.search import Place
from src.ports.search import Places

FRESH_SECONDS = 10
REMEMBERED = 1_000


class RememberedPlaces:
    """Places that were found a moment ago. An unknown one is asked for each time: it may just have been added."""

    def __init__(self, inner: Places) -> None:
        self._inner = inner
        self._memory: Memory[str, Place] = Memory(REMEMBERED)

    async def locate(self, context: Context, name: str) -> Place | None:
        known = self._memory.get(name)
        if known is not None:
            return known
        found = await self._inner.locate(context, name)
        return found and self._memory.keep(name, found, FRESH_SECONDS)
