#!/usr/bin/env python3
"""elbo sweep --launcher slurm, and srun elbo train, on a real Slurm: a cluster of this machine alone, which is started here and ended again. As
root, with the packages of scripts/setup cluster; 77 where one is missing or does not run. Not part of the suite, which has a sbatch of its own.

    tests/slurm_cluster_test.py build/release/elbo
"""

import json
import os
import shutil
import socket
import subprocess
import time

from program import BINARY, check, elbo, finish, skip, work_in_a_folder_of_its_own
from sweeps import MPIRUN, TINY, numbers, same, wait_for


for program in ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue"):
    if not shutil.which(program):
        skip(f"there is no {program}")
if os.geteuid() != 0:
    skip("only root can start slurmd")

work_in_a_folder_of_its_own("slurm")
place = os.getcwd()
host = socket.gethostname().split(".")[0]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


os.mkdir("munge", 0o700)
for folder in ("state", "spool"):
    os.mkdir(folder)
with open("munge/key", "wb") as file:
    file.write(os.urandom(128))
os.chmod("munge/key", 0o400)
open("slurm.conf", "w").write(f"""
ClusterName=elbo
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={place}/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=3 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
""")
os.environ["SLURM_CONF"] = f"{place}/slurm.conf"
daemons = []


def daemon(*words):
    daemons.append(subprocess.Popen(words, stdout=open("daemons.log", "a"), stderr=subprocess.STDOUT))


def slurm(*words):
    return subprocess.run(words, capture_output=True, text=True)


def end():
    slurm("scancel", "--user=root")
    time.sleep(1)
    for process in reversed(daemons):
        process.terminate()
    for process in daemons:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


def queue():
    return slurm("squeue", "--noheader", "--array", "--format=%i %T %r").stdout


def state_of(run, state):
    return f'"state": "{state}"' in elbo("status", run, "--json").stdout


try:
    daemon("munged", "--foreground", "--force", f"--socket={place}/munge/socket", f"--key-file={place}/munge/key", f"--pid-file={place}/munge/pid",
           f"--log-file={place}/munge/log", f"--seed-file={place}/munge/seed")
    wait_for(lambda: os.path.exists("munge/socket"), 10)
    daemon("slurmctld", "-D", "-f", f"{place}/slurm.conf")
    daemon("slurmd", "-D", "-f", f"{place}/slurm.conf", "-N", host)
    if not wait_for(lambda: "idle" in slurm("sinfo", "--noheader", "--format=%t").stdout, 40):
        logs = "".join(open(name).read()[-600:] for name in ("daemons.log", "slurmctld.log", "slurmd.log", "munge/log") if os.path.exists(name))
        print(logs)
        end()
        skip("Slurm does not run here (see above)")
    print(slurm("sinfo").stdout, flush=True)

    # ---- srun is an mpirun where it speaks the language of this MPI
    language = "pmix" if "--oversubscribe" in MPIRUN else "pmi2"  # OpenMPI's and MPICH's
    if MPIRUN and language in slurm("srun", "--mpi=list").stdout:
        small = ["--data", "digits", "--limit", 300, "--model", "mlp", "--hidden", "24,16", "--latent", 4, "--batch", 100, "--epochs", 2, "--threads", 1,
                 "--device", "cpu"]
        runs = [elbo("train", *small, "--out", "alone"),
                slurm("srun", "-n", "2", f"--mpi={language}", BINARY, "train", *map(str, small), "--out", "shared")]
        check("one process trains, and two of srun do", all(run.returncode == 0 for run in runs), [run.stderr for run in runs])
        alone, shared = (json.load(open(f"{run}/result.json"))["metrics"] for run in ("alone", "shared"))
        check("the same model", shared["processes"] == 2 and abs(shared["elbo"] - alone["elbo"]) < 1e-4 * abs(alone["elbo"]), (shared, alone))
    else:
        print(f"not checked: two processes of srun, which does not know {language}, or there is no MPI", flush=True)

    long = [*TINY, "--epochs", 1500]
    run = elbo("collapse", *long, "--out", "one")
    check("one process runs it", run.returncode == 0, run.stderr)
    run = elbo("sweep", "collapse", *long, "--out", "job", "--launcher", "slurm", "--workers", 2, "--lease", 5, "--sbatch", "--time=10")
    print(run.stdout, run.stderr, queue(), flush=True)
    check("an array job and a report are submitted", run.returncode == 0 and "runs the units in 2 tasks" in run.stdout, run.stderr)
    job = run.stdout.split()[1]
    check("a task is at a unit", wait_for(lambda: state_of("job", "running"), 60), queue())
    print(elbo("status", "job").stdout, flush=True)
    # As Slurm does before the time limit: to the script alone.
    slurm("scancel", "--signal=USR1", "--batch", f"{job}_1")
    check("it lets go of it and is queued again", wait_for(lambda: f"{job}_1 PENDING" in queue(), 30), queue())
    print(queue(), open("job/slurm-1.log").read(), flush=True)
    check("the report comes when all have ended", wait_for(lambda: os.path.exists("job/result.json") and not queue().strip(), 400), queue())
    check("with the numbers of one process", *same(numbers("job"), numbers("one")))
    for name in sorted(filter(lambda name: name.startswith("slurm"), os.listdir("job"))):
        print(f"--- {name}\n{open(f'job/{name}').read()}", flush=True)
finally:
    end()
finish()
