"""The task, and what sends it: python dispatch.py TASKS SENDERS. The worker is `celery -A dispatch worker`."""

import json
import os
import sys
import threading

from celery import Celery

port = os.environ["DISPATCH_PORT"]
app = Celery("dispatch", broker=f"redis://127.0.0.1:{port}/0")
app.conf.update(
    # No result backend, and nobody is told what happens to a task: as little as Celery can do.
    result_backend=None,
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_send_task_events=False,
    task_send_sent_event=False,
    task_acks_late=os.environ.get("DISPATCH_ACKS_LATE") == "1",
    worker_prefetch_multiplier=int(os.environ.get("DISPATCH_PREFETCH", "64")),
    broker_connection_retry_on_startup=True,
    broker_pool_limit=int(os.environ.get("DISPATCH_POOL", "10")),
    worker_hijack_root_logger=False,
)

@app.task(name="run", ignore_result=True)
def run(payload):
    pass


def send(tasks: int, senders: int) -> None:
    payload = json.loads(os.environ["PAYLOAD"])

    def sender(count: int) -> None:
        for _ in range(count):
            run.apply_async((payload,))

    threads = [threading.Thread(target=sender, args=(tasks // senders,)) for _ in range(senders)]
    with app.pool.acquire(block=True) as connection:
        connection.ensure_connection()
    print("ready", flush=True)
    sys.stdin.readline()
    run.apply_async((payload,))
    print("warm", flush=True)
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("done", flush=True)


if __name__ == "__main__":
    send(int(sys.argv[1]), int(sys.argv[2]))
