"""A search replica whose parts are killed one by one: the agent, a worker, all of them."""

from __future__ import annotations

import signal

from serving.process_lock import lock_holder
from serving.replica_folder import ReplicaFolder
from serving.stopping import stop_replica
from tests.replicas.search_replica import SearchReplica
from tests.waiting import wait_for
from vitrine.processes.table import ProcessIdentity, is_alive, send


class ReplicaProcess(SearchReplica):
    """A search replica that may be left without its agent."""

    def kill_agent(self) -> None:
        """Ends the agent with SIGKILL; its workers go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=180)

    def kill(self) -> None:
        """Ends the agent and all workers with SIGKILL."""
        workers = self.workers()
        self.kill_agent()
        for identity in workers.values():
            send(identity, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, workers.values())), what="the end of the workers")

    def workers(self) -> dict[int, ProcessIdentity]:
        """The living workers by index, as the system knows them."""
        folder = ReplicaFolder(self.settings.state_dir, self.settings.replica_id)
        found = {index: lock_holder(folder.worker_lock(index)) for index in folder.worker_indexes()}
        return {index: holder for index, holder in found.items() if holder is not None}

    def end(self) -> None:
        """Ends whatever is left of it."""
        if self.is_running():
            self.stop()
        stop_replica(self.settings)
