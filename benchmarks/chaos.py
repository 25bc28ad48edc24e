"""Ask whether a promise is lost when all that can die does die, under load.

Requests at a steady rate, through two web processes and two workers on PostgreSQL. Each of these
processes is killed every few seconds and started anew, the mail server and the broker are down for
a while, the database crashes once. Then all is left alone until every mail is settled. The laws:

1. Every request that was answered 2xx has its mail accepted, or a reason in its row.
2. No mail is written after its deadline.
3. A mail is doubled only with an unknown outcome, or if a courier was killed after it was taken.
4. One Idempotency-Key, one transfer, however often it was asked.

Ends with status 1 if one of them is broken. ``--seed`` repeats a storm, as far as machines do.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks import postgres, report, site
from benchmarks.load import Load
from benchmarks.site import SETUPS
from benchmarks.storm import Storm
from demo import machine

LOGS = machine.ROOT / "var" / "chaos"


def main() -> int:
    """Run one storm an engine. Returns the exit status."""
    options = arguments()
    names = list(SETUPS) if options.engine == "all" else [options.engine]
    kept = [keeps_its_promises(name, options) for name in names]
    return 0 if all(kept) else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=[*SETUPS, "all"], default="all")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=50, help="requests a second")
    parser.add_argument("--outage", type=float, default=10, help="seconds of an outage")
    parser.add_argument("--life", type=float, default=5, help="seconds a process lives, about")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def keeps_its_promises(name: str, options: argparse.Namespace) -> bool:
    """Run one storm, print what was seen, and tell whether the laws held."""
    with tempfile.TemporaryDirectory() as scratch, postgres.running() as database:
        home = Path(scratch) / "site"
        try:
            with site.running(home, SETUPS[name], database.url, options.requests) as here:
                load = Load(here.port, here.tokens)
                with Storm(here, database, options) as storm:
                    load.run(options.requests, options.rate)
                report.wait_until_settled(database.url)
        finally:
            shutil.copytree(home, LOGS / name, dirs_exist_ok=True)
        return report.judge(name, database.url, load.asked, here.journal, storm.kills)


if __name__ == "__main__":
    sys.exit(main())
