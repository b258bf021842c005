"""Finding the process that the others wait for.

Where one of many processes dies or hangs, the others wait in a collective until its timeout, and
their errors name neither the rank nor the cause. Here every process tells a shared store, from a
thread, that it lives and how far it is; whoever waits too long reads what the others said.
"""

import re
import threading
from collections.abc import Callable

from torch.distributed import DistError

BEATS_TO_MISS = 3
_COLLECTIVE_ERRORS = re.compile(
    r'gloo|NCCL|Connection (closed|reset|refused)|collective|Broken pipe'
)


class ProcessWatch:
    """Publishes the progress of this process and reads that of the others.

    All processes mark the same moments in the same order, so the number of marks is their progress.

    Args:
        store: of ``torch.distributed``, shared by all processes.
        rank: of this process.
        world_size: number of processes.
        patience: seconds without a mark after which the others are looked at.
        interval: seconds between two signs of life.
        report: is given the line that names who is waited for.
    """

    def __init__(
        self,
        store,
        rank: int,
        world_size: int,
        patience: float,
        interval: float,
        report: Callable[[str], None],
    ) -> None:
        self.store, self.rank, self.world_size = store, rank, world_size
        self.patience, self.interval, self.report = patience, interval, report
        self.marks, self.place, self._beat = 0, 'starting', 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name='process watch')

    def mark(self, place: str) -> None:
        """Say where this process is, e.g. ``in iteration 12``."""
        self.place = place
        self.marks += 1

    def start(self) -> None:
        """Begin to tell the store and to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        waited, seen, told = 0.0, -1, False
        while self._beats_on():
            waited = waited + self.interval if seen == self.marks else 0.0
            if waited == 0.0:
                seen, told = self.marks, False
            elif waited >= self.patience and not told:
                told = True
                line, reporter = self.missing()
                if reporter == self.rank:
                    self.report(f'no progress for {waited:.0f} s: {line}')

    def _beats_on(self) -> bool:
        """Wait for the next beat; False where the watch is over or its store is gone."""
        if self._stopped.wait(self.interval):
            return False
        self._beat += 1
        try:
            self.store.set(_key(self.rank), f'{self._beat}|{self.marks}|{self.place}')
        except DistError:
            return False  # explain() says so
        return True

    def missing(self) -> tuple[str, int]:
        """Who does not answer or is behind; takes some beats.

        Returns:
            A line that names ranks, where they are and what to look at, and the first rank that is
            not among them, which should print it.
        """
        try:
            before = self._read()
            for _ in range(BEATS_TO_MISS):
                self._beats_on()  # others look at this process, too
            now = self._read()
        except DistError as error:
            return (
                'the store of the addresses, which torchrun or rank 0 keeps, does not answer '
                f'({_first_line(error)}); look at the end of that process',
                self.rank,
            )
        silent = [rank for rank in now if rank != self.rank and now[rank][0] == before[rank][0]]
        others = [rank for rank in now if rank not in silent]
        first = min((now[rank][1] for rank in others), default=0)
        last = max((now[rank][1] for rank in others), default=0)
        behind = [rank for rank in others if first < last and now[rank][1] == first]
        parts = [f'rank {rank} does not answer, last seen {now[rank][2]}' for rank in silent]
        parts += [f'rank {rank} is behind, {now[rank][2]}' for rank in behind]
        if silent:
            fix = 'its process has ended (the last lines of its output, out of memory?) or its '
            fix += 'machine cannot be reached'
        elif behind:
            fix = 'its loader (slow disk, dead worker) or its GPU hangs, or it runs other code'
        else:
            parts = [f'all ranks are {self.place}']
            fix = 'one computes without end, which py-spy dump --pid shows, or the network hangs'
        fine = [rank for rank in now if rank not in (*silent, *behind)]
        return f'{_shortened(parts)}; {fix}', min(fine, default=self.rank)

    def _read(self) -> dict[int, tuple[int, int, str]]:
        """Beat, marks and place of each rank; (0, 0, ...) of one that never spoke."""
        found = {self.rank: (0, self.marks, self.place)}
        for rank in set(range(self.world_size)) - {self.rank}:
            found[rank] = (0, 0, 'before its first iteration')
            if self.store.check([_key(rank)]):
                beat, marks, place = self.store.get(_key(rank)).decode().split('|', 2)
                found[rank] = (int(beat), int(marks), place)
        return dict(sorted(found.items()))

    def explain(self, error: Exception) -> str:
        """One line for a collective that failed in this process."""
        return (
            f'rank {self.rank} {self.place}: the processes could not talk to each other '
            f'({_first_line(error)}); {self.missing()[0]}'
        )


def is_collective_error(error: Exception) -> bool:
    """Whether an exception comes from a collective, as far as its type and text say."""
    return isinstance(error, DistError) or bool(_COLLECTIVE_ERRORS.search(str(error)))


def _key(rank: int) -> str:
    return f'mmseg_custom/progress/{rank}'


def _shortened(parts: list[str], most: int = 8) -> str:
    more = [f'and {len(parts) - most} more'] if len(parts) > most else []
    return ', '.join([*parts[:most], *more])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160]
