"""Ids go through Celery 5: RabbitMQ or Redis carry them, Celery's workers send.

1. A message is one delivery's id, in JSON, on a queue of its queue's own.
2. A worker of such a queue runs this app's couriers by another clock: a task does the first
   round in Celery's own thread or process, retries come by the outbox's clock, and a sweep needs
   no beat.

In: ids. Out: messages; in a worker, rounds.
Knows nothing of: codes, mails. No other module imports Celery.
"""

import time
from collections.abc import Iterable
from typing import Any, override
from uuid import UUID

try:
    from celery import current_app, shared_task, signals
    from celery.concurrency import prefork
    from kombu import Connection
except ImportError as error:
    raise ImportError(f"pip install 'otpmail[celery]' ({error})") from error

from otpmail import engines
from otpmail.conf import settings
from otpmail.engines.base import SettingError
from otpmail.engines.broker import BROKER_QUEUES, BrokerEngine
from otpmail.engines.publisher import PUBLISH_SECONDS
from otpmail.engines.threads import ThreadsEngine
from otpmail.models import Queue

TASK = "otpmail.deliver"

REST_SECONDS = 30
"""A connection that rested longer is opened anew: what stands between may have dropped it."""

RECONNECT_SECONDS = 0.1
"""Before the second try to connect; before each later one as much more."""


class CeleryEngine(BrokerEngine):
    """Publishes to the broker of the project's Celery app."""

    def __init__(self) -> None:
        super().__init__()
        self._connection: Connection | None = None
        self._used_at = 0.0

    @classmethod
    def check(cls) -> Iterable[SettingError]:
        """Tell what keeps messages from the broker."""
        conf = current_app.conf
        if not (conf.broker_url or conf.broker_write_url):
            yield SettingError(
                "Celery has no broker",
                "Set CELERY_BROKER_URL, and import your Celery app in your project's __init__.py.",
            )
        if conf.task_always_eager:
            yield SettingError(
                "CELERY_TASK_ALWAYS_EAGER keeps tasks from the broker",
                "Remove it; in tests, set OTPMAIL_ENGINE to the immediate engine.",
            )
        missing = set(BROKER_QUEUES.values()) - set(current_app.amqp.queues)
        if missing and not conf.task_create_missing_queues:
            yield SettingError(
                f"CELERY_TASK_QUEUES lacks {', '.join(sorted(missing))}",
                "Add them, or remove CELERY_TASK_CREATE_MISSING_QUEUES.",
            )

    @override
    def _publish(self, delivery_id: UUID, queue: Queue) -> None:
        if time.monotonic() - self._used_at > REST_SECONDS:
            self._close()
        was_open = self._connection is not None
        try:
            self._send(delivery_id, queue)
        except Exception:
            if not was_open:
                raise
            self._send(delivery_id, queue)  # the broker may be well, and only the connection gone

    def _send(self, delivery_id: UUID, queue: Queue) -> None:
        self._connection = self._connection or _connect()
        try:
            current_app.send_task(
                TASK,
                args=[str(delivery_id)],
                queue=BROKER_QUEUES[queue],
                producer=current_app.amqp.Producer(self._connection, auto_declare=False),
                serializer="json",
                ignore_result=True,
                retry=False,  # by default Celery would try on for a second, and connect for ever
                timeout=PUBLISH_SECONDS,
                confirm_timeout=PUBLISH_SECONDS,
                expires=settings.LIFE_SECONDS,  # what nobody took by then would wake nobody
            )
        except Exception:
            self._close()
            raise
        self._used_at = time.monotonic()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@shared_task(name=TASK, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def deliver(delivery_id: str) -> None:
    """Do a round with one delivery, if it is nobody's; an id that nobody knows is no fault."""
    _couriers().run_now(UUID(delivery_id))


def _connect() -> Connection:
    return current_app.connection_for_write(
        connect_timeout=PUBLISH_SECONDS,
        transport_options=current_app.conf.broker_transport_options
        | {
            # A handshake that broke is begun anew at once; by default kombu first sleeps for 2 s.
            "interval_start": RECONNECT_SECONDS,
            "interval_step": RECONNECT_SECONDS,
            "connect_retries_timeout": PUBLISH_SECONDS / 2,
            "confirm_publish": True,  # RabbitMQ has it, and not only the kernel's buffer
            "read_timeout": PUBLISH_SECONDS,
            "write_timeout": PUBLISH_SECONDS,
            "socket_timeout": PUBLISH_SECONDS,  # the last two are Redis's
            "socket_connect_timeout": PUBLISH_SECONDS,
        },
    )


def _couriers() -> ThreadsEngine:
    engine = engines.become(ThreadsEngine)
    engine.start()
    return engine


def _is_worker() -> bool:
    return not set(BROKER_QUEUES.values()).isdisjoint(current_app.amqp.queues.consume_from)


@signals.worker_process_init.connect
def _begin_in_child(**_: Any) -> None:
    if _is_worker():
        _couriers()


@signals.worker_ready.connect
def _begin_in_threads(sender: Any, **_: Any) -> None:
    if _is_worker() and not isinstance(sender.pool, prefork.TaskPool):
        _couriers()


@signals.worker_process_shutdown.connect
def _end_in_child(**_: Any) -> None:
    if _is_worker():  # it ends without its exit handlers
        _couriers().stop(settings.DRAIN_SECONDS)
