"""Names that attack whatever shows them, and runs that have them."""

import json
import re
import subprocess

from runs import ROOT, program

LIST = ROOT / "tests" / "python" / "hostile_names.txt"
# What the format takes as the name of a tensor.
MAX_TENSOR_BYTES = 512


def hostile_names():
    """The names of the list, in its order."""
    lines = [line for line in LIST.read_text().splitlines() if not line.startswith("# ")]
    split = [re.fullmatch(r"(.*?)(?: \* (\d+))?", line) for line in lines]
    return [match[1].encode().decode("unicode_escape") * int(match[2] or 1) for match in split]


NAMES = hostile_names()


def short(names):
    """Those that tensors can have."""
    return [name for name in names if len(name.encode()) <= MAX_TENSOR_BYTES]


def write_runs(folder):
    """Runs below a folder: one for each name, which is also its directory's where a file system takes it, and `tensors` with
    tensors of all names."""
    wanted = [
        {"dir": str(directory(folder, index, name)), "run": name, "names": [f"{index}.weight", *short([name])]}
        for index, name in enumerate(NAMES)
    ]
    wanted.append({"dir": str(folder / "tensors"), "run": "all of them", "names": short(NAMES)})
    done = write(wanted)
    assert done.returncode == 0, done.stderr
    return folder


def directory(folder, index, name):
    """Where a run is written. Folders whose names begin with a dot are not searched for runs."""
    takes = "/" not in name and "\0" not in name and not name.startswith(".") and 0 < len(name.encode()) <= 200
    return folder / f"{index:03}" / name if takes else folder / f"{index:03}"


def write(wanted):
    """Writes runs; each with `dir`, `run` and `names` of its tensors."""
    command = [program("epsiloscope").parent / "examples" / "named_runs"]
    return subprocess.run(command, input=json.dumps(wanted).encode(), capture_output=True, timeout=300, check=False)
