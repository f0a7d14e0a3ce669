"""A real Slurm of one node on this machine, in a folder of its own: munged, slurmctld and slurmd."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
SECONDS = 40

CONF = """\
ClusterName=superbtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=2
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.log
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
KillWait=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class CannotStart(Exception):
    """Why there is no Slurm here."""


class Node:
    """Started by `start`; `stop` ends its processes, jobs first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.conf = root / "slurm.conf"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons and wait for an idle node; CannotStart says why not."""
        missing = [name for name in PROGRAMS if self._program(name) is None]
        if missing:
            raise CannotStart(f"{', '.join(missing)} not installed (apt install slurm-wlm munge)")
        if os.geteuid() != 0:
            raise CannotStart("slurmd must be started by root")
        for name in ("munge", "state", "spool", "log"):
            (self.root / name).mkdir(parents=True)
        (self.root / "munge").chmod(0o755)
        key = self.root / "munge" / "key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        host = socket.gethostname().split(".")[0]
        self.conf.write_text(CONF.format(host=host, root=self.root, ports=_free_ports()))
        munge = self.root / "munge"
        files = {
            "key-file": "key",
            "socket": "socket",
            "pid-file": "pid",
            "log-file": "log",
            "seed-file": "seed",
        }
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        self._daemon("munged", "--foreground", "--force", *options)
        self._until(lambda: (munge / "socket").exists(), "munged gives no socket")
        self._daemon("slurmctld", "-D", "-f", str(self.conf))
        self._daemon("slurmd", "-D", "-f", str(self.conf))
        self._until(lambda: "idle" in self.run("sinfo", "-h", "-o", "%t"), "the node does not become idle")

    def run(self, *command: str) -> str:
        """The output of one of Slurm's programs, empty where it fails."""
        env = {**os.environ, "SLURM_CONF": str(self.conf)}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20).stdout

    def stop(self) -> None:
        """End everything."""
        if self.conf.exists():
            self.run("scancel", "--full", "--signal=KILL", "--user=root")
            time.sleep(1)
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _program(self, name: str) -> str | None:
        return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")

    def _daemon(self, name: str, *options: str) -> None:
        program = self._program(name)
        assert program is not None
        env = {**os.environ, "SLURM_CONF": str(self.conf)}
        with (self.root / f"{name}.out").open("wb") as out:
            self._processes.append(subprocess.Popen([program, *options], env=env, stdout=out, stderr=out))

    def _until(self, good: object, said: str) -> None:
        assert callable(good)
        deadline = time.monotonic() + SECONDS
        while not good():
            dead = [process.args for process in self._processes if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                logs = [path for path in self.root.glob("*.out") if path.stat().st_size]
                last = " ".join(path.read_text(errors="replace").strip()[-200:] for path in logs)
                raise CannotStart(f"{said} {last}")
            time.sleep(0.2)


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(2)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
