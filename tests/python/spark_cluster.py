"""A Spark cluster on this machine: a master and two workers, each a process of its own, all of them on loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

N_WORKERS = 2
# A quiet machine takes a quarter of it.
SECONDS = 180
HOST = "127.0.0.1"
# Processes that live for seconds gain nothing by optimising compilers and parallel collectors.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Cluster:
    """What is needed to give it work."""

    def __init__(self, home, folder, master):
        self.home, self.folder, self.master = home, folder, master

    def submit(self, script, *arguments):
        """Runs a program to its end, with an executor on every worker; returns where tasks ran, an executor's name each."""
        events = self.folder / "events"
        events.mkdir()
        settings = {
            "spark.driver.host": HOST,
            "spark.driver.memory": "512m",
            "spark.driver.extraJavaOptions": JAVA_OPTIONS,
            "spark.executor.extraJavaOptions": JAVA_OPTIONS,
            "spark.executor.memory": "512m",
            "spark.sql.shuffle.partitions": 4,
            "spark.ui.enabled": "false",
            # The first task waits until both executors are there.
            "spark.scheduler.minRegisteredResourcesRatio": 1,
            "spark.scheduler.maxRegisteredResourcesWaitingTime": "60s",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
            "spark.eventLog.rolling.enabled": "false",
            "spark.eventLog.compress": "false",
        }
        options = [word for name, value in settings.items() for word in ("--conf", f"{name}={value}")]
        command = [self.home / "bin" / "spark-submit", "--master", self.master, *options, script, *arguments]
        with started(command, self.folder / "submit", self.home, cwd=script.parent) as process:
            status = process.wait(SECONDS)
        assert status == 0, (self.folder / "submit.log").read_text()[-5000:]
        lines = [json.loads(line) for file in events.iterdir() for line in file.read_text().splitlines()]
        return [line["Task Info"]["Executor ID"] for line in lines if line["Event"] == "SparkListenerTaskEnd"]


@contextmanager
def cluster(folder):
    """A cluster with its logs and work in a folder; all of its processes are gone afterwards, whatever happens."""
    spec = find_spec("pyspark")
    if shutil.which("java") is None or spec is None:
        pytest.skip("Spark needs Java and pyspark (apt-get install openjdk-17-jre-headless, pip install pyspark)")
    home, port = Path(spec.origin).parent, free_port()
    master = f"spark://{HOST}:{port}"
    run = [home / "bin" / "spark-class"]
    of_master = ["org.apache.spark.deploy.master.Master", "--host", HOST, "--port", port, "--webui-port", 0]
    with started([*run, *of_master], folder / "master", home) as process:
        wait_for(folder / "master.log", "I have been elected leader", 1, process)
        workers = [started([*run, *of_worker(folder, number, master)], folder / f"worker-{number}", home) for number in range(N_WORKERS)]
        with workers[0], workers[1]:
            wait_for(folder / "master.log", "Registering worker", N_WORKERS, process)
            yield Cluster(home, folder, master)


def of_worker(folder, number, master):
    """A worker of one core."""
    own = ["--host", HOST, "--cores", 1, "--memory", "1g", "--webui-port", 0, "--work-dir", folder / f"work-{number}"]
    return ["org.apache.spark.deploy.worker.Worker", *own, master]


@contextmanager
def started(command, stem, home, cwd=None):
    """A process in a group of its own, with what it starts; its output goes to a log, and it ends with the block."""
    of_daemons = {"SPARK_DAEMON_MEMORY": "128m", "SPARK_DAEMON_JAVA_OPTS": JAVA_OPTIONS}
    environment = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": HOST, **of_daemons}
    with stem.with_suffix(".log").open("wb") as log:
        command = [str(word) for word in command]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=cwd, start_new_session=True)
    try:
        yield process
    finally:
        # The group, for its leader may be a script that has started Java.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(log, text, times, process):
    """Until a text is in a log so many times."""
    end = time.monotonic() + SECONDS
    while log.read_text().count(text) < times:
        assert time.monotonic() < end and process.poll() is None, f"no {text!r}:\n{log.read_text()[-5000:]}"
        time.sleep(0.2)


def free_port():
    """A port that nobody listens at now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]
