"""Processes that may die or hang: each task has an answer, or is said to have ended its process."""

from multiprocessing import connection, get_context
from time import monotonic

DIED, HUNG = "died", "hung"
_STARTING_SECONDS = 120


class _Process:
    """One process, and the task that it has."""

    def __init__(self, target, arguments):
        self.target, self.arguments = target, arguments
        self.start()

    def start(self):
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=self.target, args=(theirs, *self.arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.task, self.deadline, self.fresh = None, None, True

    def give(self, task, seconds):
        self.task = task
        self.deadline = monotonic() + seconds + (_STARTING_SECONDS if self.fresh else 0)
        self.pipe.send(task)

    def replace(self):
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.start()


class Watched:
    """Runs ``target(connection, *arguments)`` in spawned processes: it is sent tasks, answers each, ends at None.

    A process that dies or takes longer than `seconds` for a task is replaced.
    """

    def __init__(self, target, arguments, processes, seconds):
        self._target, self._arguments, self._processes, self._seconds = target, arguments, processes, seconds

    def map(self, tasks):
        """Each task with its answer, or with `DIED` or `HUNG`, in the order in which they end."""
        waiting = iter(tasks)
        workers = [_Process(self._target, self._arguments) for _ in range(self._processes)]
        try:
            busy = [worker for worker in workers if self._next(worker, waiting)]
            while busy:
                connection.wait([worker.pipe for worker in busy], 1)
                for worker in list(busy):
                    task, answer = worker.task, self._answer(worker)
                    if answer is not None:
                        yield task, answer
                        if not self._next(worker, waiting):
                            busy.remove(worker)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.join()

    def _next(self, worker, waiting):
        task = next(waiting, None)
        if task is None:
            return False
        worker.give(task, self._seconds)
        return True

    def _answer(self, worker):
        """The answer that is there; None while there is none."""
        try:
            if worker.pipe.poll():
                answer = worker.pipe.recv()
                worker.fresh = False
                return answer
        except (EOFError, OSError):
            worker.replace()
            return DIED
        if monotonic() > worker.deadline:
            worker.replace()
            return HUNG
        return None
