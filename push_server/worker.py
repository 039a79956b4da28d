"""The worker process: RQ's SimpleWorker, which runs jobs in its own process, one after the other, for ever.

It outlives restarts of Redis and PostgreSQL. A job that fails in between is sent again by the sweeper, since what is
to be done stands in PostgreSQL.
"""

import logging
import re
import time

import redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

import push_server.tables  # noqa: F401 - foreign keys resolve only once every table is known
from push_server import queue

log = logging.getLogger(__name__)


class LongLived(SimpleWorker):
    """Looks for a lost Redis every two seconds, runs our jobs only, and ends between two jobs when asked to."""

    runs = re.compile(r"push_server\.(\w+\.)*jobs\.\w+")
    max_connection_wait_time = 2.0
    asked_to_stop = False

    def request_stop(self, signum: int, frame: object) -> None:
        """On SIGTERM or SIGINT: finish the job in hand, then end; a second signal does not cut it short."""
        self.asked_to_stop = True
        if self.get_state() == "busy":
            self._stop_requested = True
        else:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job if it is a function of a `jobs.py`: a queue entry may name any function that Python can import."""
        if self.runs.fullmatch(job.func_name or ""):
            super().execute_job(job, queue)
        else:
            log.error("a job that is none of ours was dropped: %s", job.func_name)
            job.delete()


def run(names: tuple[str, ...] = queue.QUEUES, kind: type[LongLived] = LongLived) -> None:
    """Work on the queues, in this order of preference, until SIGTERM or SIGINT."""
    client = queue.waiting_client()
    while True:
        worker = kind(
            [queue.rq_queue(name, client) for name in names],
            connection=client,
            serializer=JSONSerializer,
            log_job_description=False,
        )
        try:
            worker.work(logging_level="WARNING")
        except redis.RedisError as error:
            log.warning("Redis does not answer: %s", error)
        if worker.asked_to_stop:
            return
        time.sleep(1)
