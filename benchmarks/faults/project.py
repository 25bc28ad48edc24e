"""The project's own code is at fault, or it promises more at once than can be sent."""

import time
from collections.abc import Iterator
from typing import ClassVar

from benchmarks import backlog, watch
from benchmarks.faults.base import EMBEDDED, Fault
from benchmarks.laws import Allowance, Seen
from benchmarks.trial import Trial


class TemplatePanic(Fault):
    """A template tag raises what is no Exception, for one payee in ten."""

    name = "template-panic"
    on = {"postgres": (*EMBEDDED, "celery-redis"), "sqlite": ("threads",)}
    short = {"sqlite": ("threads",)}
    settings = "benchmarks.projects.panic"
    # What cannot be rendered is given up in time: after four attempts, 13.2 s.
    allowance = Allowance(lets_give_up=True, backlog_seconds=8)
    lasts_seconds: ClassVar[float] = 8

    def befall(self, trial: Trial) -> None:  # noqa: ARG002 - it is there all the time
        """Let it panic many times."""
        time.sleep(self.lasts_seconds)

    def laws(self, trial: Trial, seen: Seen) -> Iterator[str]:  # noqa: ARG002
        """Only those mails are given up, and that is one in ten."""
        rows = seen.deliveries.values()
        dropped = sum(row.state in {"failed", "dropped"} for row in rows)
        if dropped > len(rows) / 10 + 1:
            yield f"others: {dropped} of {len(rows)} were given up"


class RaisingHook(Fault):
    """A hook of the project's own raises after a commit, before otpmail's hook has run."""

    name = "raising-hook"
    on = {"postgres": EMBEDDED, "sqlite": ("threads",)}
    settings = "benchmarks.projects.hook"
    # The 500 is the project's own; the code leaves with the next sweep, a second later.
    allowance = Allowance(statuses=frozenset({500}), code_seconds=2.5)

    def before(self, trial: Trial) -> None:
        """Wait for nothing: it is there from the first request on."""

    def befall(self, trial: Trial) -> None:
        """Let it raise for a while, and say when no request is begun any more."""
        time.sleep(6)
        trial.load.rests = True
        time.sleep(1)


class Backlog(Fault):
    """Thousands of codes are due at once, and then people ask for more."""

    name = "backlog"
    on = {"postgres": EMBEDDED, "mariadb": ("worker",), "sqlite": ("worker",)}
    allowance = Allowance(code_seconds=None, backlog_seconds=60)
    rate = 2
    patience_seconds: ClassVar[float] = 60
    size: ClassVar[int] = 4_000
    rss_mb: ClassVar[float] = 60
    """What a process may grow by."""
    _grown: dict[str, float]

    def befall(self, trial: Trial) -> None:
        """Write them, and let the site work."""
        before = {pid: watch.size(pid) for pid, _ in watch.processes(trial.site)}
        backlog.write(trial.stage.environment, self.size)
        begun = time.monotonic()
        self._grown = {}
        while trial.waiting() > self.rate * 2 and time.monotonic() - begun < self.patience_seconds:
            time.sleep(0.5)
            for pid, name in watch.processes(trial.site):
                now, then = watch.size(pid), before.get(pid)
                if now and then:
                    grown = now.rss_mb - then.rss_mb
                    self._grown[name] = max(grown, self._grown.get(name, 0))

    def laws(self, trial: Trial, seen: Seen) -> Iterator[str]:
        """Fresh codes overtake, the rest leaves without gaps, and memory is bounded."""
        fresh = [row for row in seen.deliveries.values() if row.transfer]
        late = [row for row in fresh if seen.taken.get(row.message_id, [0])[0] - row.created_at > 2]
        if late:
            yield f"overtake: {len(late)} of {len(fresh)} fresh codes took more than 2 s"
        yield from backlog.gaps(seen, trial.began)
        for name, grown in self._grown.items():
            if grown > self.rss_mb:
                yield f"memory: {name} grew by {grown:.0f} MB"


class LongBacklog(Backlog):
    """Twenty thousand codes are due at once, and then people ask for more."""

    name = "backlog-long"
    on = {"postgres": ("worker",)}
    patience_seconds = 200
    size = 20_000
