"""Runs in an object store: an S3 server of someone else's, filled by Amazon's own library."""

import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from runs import ROOT, program

RUNS = ROOT / "data" / "runs"
NAMES = ["cnn-calibration", "cnn-training", "mlp-rmsprop"]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


def epsiloscope(*arguments, endpoint):
    """What the program prints, and how it ends, with the server in its environment."""
    environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true"}
    command = [program("epsiloscope"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def upload(client, run, prefix):
    """Copies a run into the bucket."""
    for path in sorted(Path(run).rglob("*")):
        if path.is_file():
            client.upload_file(str(path), "bucket", f"{prefix}/{path.relative_to(run)}")


@pytest.fixture(scope="module")
def endpoint():
    """A server on a free port of this machine, holding every run that the project carries, one of them twice."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint):
    """Amazon's client, after the runs are in the bucket."""
    names = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=endpoint, **names)
    client.create_bucket(Bucket="bucket")
    for name in NAMES:
        upload(client, RUNS / name, f"runs/all/{name}")
    return client


@pytest.mark.parametrize("command", ["estimate", "estimate --per tensor", "histogram", "inspect --view tensors"])
@pytest.mark.parametrize("place", ["", "/runs", "/runs/a*/*", "/**/*-*"])
def test_a_bucket_gives_what_the_directories_give(client, endpoint, command, place):
    arguments = [*command.split(), "--format", "csv"]
    local = epsiloscope(*arguments, RUNS, endpoint=endpoint)
    remote = epsiloscope(*arguments, f"s3://bucket{place}", endpoint=endpoint)
    assert (remote.returncode, remote.stderr) == (0, "")
    assert remote.stdout == local.stdout


def test_runs_of_one_name_are_told_apart_by_url(client, endpoint, tmp_path):
    copy = shutil.copytree(RUNS / "mlp-rmsprop", tmp_path / "mlp-rmsprop")
    places = [copy, "s3://bucket/runs/all/mlp-rmsprop"]
    found = epsiloscope("estimate", "--format", "json", *places, endpoint=endpoint)
    assert {row["run"] for row in json.loads(found.stdout)} == set(map(str, places))


def test_inspect_describes_an_object_run(client, endpoint):
    described = epsiloscope("inspect", "s3://bucket/runs/all/cnn-calibration", endpoint=endpoint)
    assert described.returncode == 0, described.stderr
    local = epsiloscope("inspect", RUNS / "cnn-calibration", endpoint=endpoint)
    assert described.stdout.splitlines()[-20:] == local.stdout.splitlines()[-20:]


def test_damaged_objects_get_one_line_each_and_the_rest_is_answered(client, endpoint):
    upload(client, RUNS / "mlp-rmsprop", "damaged/good")
    upload(client, RUNS / "mlp-rmsprop", "damaged/bad")
    listed = client.list_objects_v2(Bucket="bucket", Prefix="damaged/bad/magnitudes/")["Contents"]
    key = listed[0]["Key"]
    body = bytearray(client.get_object(Bucket="bucket", Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    client.put_object(Bucket="bucket", Key=key, Body=bytes(body))
    found = epsiloscope("estimate", "--format", "json", "s3://bucket/damaged", endpoint=endpoint)
    assert found.returncode != 0
    assert [line for line in found.stderr.splitlines() if f"s3://bucket/{key}: damaged" in line] == found.stderr.splitlines()
    assert len(found.stderr.splitlines()) == 1
    # Told apart from the other by its URL, as long as both can be opened.
    assert {row["run"] for row in json.loads(found.stdout)} == {"s3://bucket/damaged/good"}


@pytest.mark.parametrize("place", ["s3://missing/runs", "s3://bucket/nothing", "s3://bucket/nothing/*", "s3://missing/*"])
def test_nothing_there_is_one_line(client, endpoint, place):
    found = epsiloscope("estimate", place, endpoint=endpoint)
    assert (found.returncode, found.stdout) == (2, "")
    assert len(found.stderr.splitlines()) == 1 and place in found.stderr, found.stderr


class Forbidding(http.server.BaseHTTPRequestHandler):
    """Refuses whatever it is asked for."""

    def do_GET(self):  # noqa: N802
        """Answers without looking."""
        self.send_error(403)

    def log_message(self, *_):
        """Keeps quiet."""


@pytest.mark.parametrize("place", ["s3://bucket/run", "s3://bucket/*"])
def test_refused_credentials_are_one_line(place):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = epsiloscope("estimate", place, endpoint=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert (found.returncode, found.stdout) == (2, "")
    assert len(found.stderr.splitlines()) == 1 and "access denied" in found.stderr, found.stderr


def test_a_web_server_gives_a_run_that_is_named():
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=RUNS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        remote = epsiloscope("estimate", "--format", "csv", f"{url}/mlp-rmsprop", endpoint=url)
        unknown = epsiloscope("estimate", f"{url}/nothing", endpoint=url)
        server.shutdown()
    local = epsiloscope("estimate", "--format", "csv", RUNS / "mlp-rmsprop", endpoint=url)
    assert (remote.returncode, remote.stdout) == (0, local.stdout), remote.stderr
    assert unknown.returncode == 2 and len(unknown.stderr.splitlines()) == 1
