"""docs/tutorial.md: its commands run as they stand there, and its tables are those of the metrics that came out."""

import csv
import os
import re
import subprocess
import sys

from runs import ROOT, program

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
# The test metrics after the last epoch of every training of the page: epsilon, lr, seed, metric, value.
RECORDED = ROOT / "docs" / "tutorial.csv"


def blocks(language):
    """The code blocks of a language; without one, what commands printed."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def printed(start):
    """The block of output that begins so."""
    (block,) = [block for block in blocks("text") if block.lstrip().startswith(start)]
    return block


def compared(folder, rows):
    """What compare.py prints about metrics."""
    (folder / "metrics").mkdir(parents=True)
    for row in rows:
        file = folder / "metrics" / f"{row['epsilon']},{row['lr']},{row['seed']}.csv"
        is_new = not file.exists()
        with file.open("a") as metrics:
            metrics.write("metric,value\n" * is_new + f"{row['metric']},{row['value']}\n")
    (script,) = blocks("python")
    return subprocess.run([sys.executable, "-c", script], cwd=folder, check=True, capture_output=True, timeout=60).stdout.decode()


def test_tables_are_those_of_the_recorded_metrics(tmp_path):
    rows = list(csv.DictReader(RECORDED.open()))
    of_pairs = [row for row in rows if row["lr"] not in tuned(rows)]
    tables = [block for block in blocks("text") if re.match(r"\s*ε\s+lr\s+test loss", block)]
    assert tables == [compared(tmp_path / "pairs", of_pairs), compared(tmp_path / "all", rows)]


def tuned(rows):
    """Learning rates of the second round, which are rounded to two digits where those of the first are not, but for the default's."""
    default = {row["lr"] for row in rows if row["lr"] == "0.001"}
    return {row["lr"] for row in rows if len(row["lr"]) < 10} - default


def test_commands_run_as_they_stand(tmp_path):
    """Trainings of two steps and one seed; the calibration is the page's."""
    path = f"{program('epsiloscope').parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "epochs": "1 --steps 2", "seeds": "0", "OMP_WAIT_POLICY": "passive"}
    command = [ROOT / "scripts" / "tutorial.sh", tmp_path / "tutorial"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    output = done.stdout.decode()
    spaces = [re.search(r"\[1e-\d+, 1e-\d+\]", text)[0] for text in (output, printed("run          optimizer    search"))]
    assert spaces[0] == spaces[1]
    pairs = (tmp_path / "tutorial" / "pairs.csv").read_text().split()
    assert len(pairs) == len(printed("run          optimizer    step").split("\n\n")[0].splitlines()) - 1
    # Two learning rates more for the default, and for another best pair if there is one.
    n_metrics = len(list((tmp_path / "tutorial" / "metrics").iterdir()))
    assert output.count(" to the default") == 2 and n_metrics in (len(pairs) + 2, len(pairs) + 4)
