"""Puts what a reproduction found into the documentation.

    python scripts/reproduce/publish.py reproduction/full --commit COMMIT

Copies tables and heat maps to docs/reproduction, and writes the tables of docs/evidence.md anew.
"""

import argparse
import csv
import re
import shutil
from pathlib import Path

import tables

DOCS = Path(__file__).resolve().parents[2] / "docs"
FOLDER = DOCS / "reproduction"
PAGE = DOCS / "evidence.md"
FILES = ("sweeps", "bounds", "points", "shortened", "moved", "summary")
# The page's tables by file: their columns, and what stands above them.
SHOWN = {
    "summary": {
        "combination": "combination", "cases": "cases", "worst_narrowing": "worst", "worst_case": "where", "worst_low": "lowest seed",
        "worst_high": "highest seed", "median_narrowing": "median", "best_narrowing": "best", "at_least_twice": "two times or more",
        "good_inside": "good ε inside", "judged": "of", "by_chance": "by chance",
    },
    "bounds": {
        "workload": "workload", "optimizer": "optimizer", "combination": "combination", "search_lower": "from", "search_upper": "to",
        "narrowing": "narrowing", "lower_tensor": "lower set by", "upper_tensor": "upper set by", "best_inside": "best inside",
        "good_inside": "a good one", "chance_inside": "by chance", "lost": "lost",
    },
    "sweeps": {
        "workload": "workload", "optimizer": "optimizer", "metric": "metric", "best_epsilon": "best ε", "best_lr": "learning rate",
        "best_value": "value", "best_spread": "spread over seeds", "good_points": "as good", "points": "of", "random_wide": "random draws",
        "cross_entropy_wide": "cross-entropy",
    },
    "moved": {
        "combination": "combination", "share": "share of the calibration", "cases": "cases", "over_half_a_decade": "moved by more than 0.5",
        "median_shift": "median", "greatest_shift": "greatest",
    },
}


def read(folder, name):
    with open(folder / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def markdown(rows, columns):
    """A table of a page."""
    lines = [columns.values(), ["---"] * len(columns), *([cell(row[column]) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(text):
    """A cell of a CSV file as people read it."""
    words = {"": "–", "True": "yes", "False": "no"}
    if text in words:
        return words[text]
    try:
        return tables.cell(int(text) if text.isdigit() else float(text))
    except ValueError:
        return f"`{text}`" if "." in text else text


def with_tables(page, folder):
    """The page with each table between its marks made of the folder's files."""
    for name, columns in SHOWN.items():
        table = markdown(read(folder, name), columns)
        pattern = rf"(<!-- table {name} -->\n).*?(<!-- end -->)"
        page, n_found = re.subn(pattern, lambda match: f"{match[1]}\n{table}\n\n{match[2]}", page, flags=re.DOTALL)
        if n_found != 1:
            raise SystemExit(f"{PAGE}: expected one table {name}, found {n_found}")
    return page


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path, help="the folder of the full or the quick plan")
    parser.add_argument("--commit", required=True, help="that trained, or which trained what")
    asked = parser.parse_args()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    for name in FILES:
        shutil.copyfile(asked.found / f"{name}.csv", FOLDER / f"{name}.csv")
    (FOLDER / "commit").write_text(f"{asked.commit}\n", encoding="utf-8")
    for workload in dict.fromkeys(row["workload"] for row in read(FOLDER, "sweeps")):
        shutil.copyfile(asked.found / "heat-maps" / f"{workload}.svg", FOLDER / f"{workload}.svg")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), FOLDER), encoding="utf-8")


if __name__ == "__main__":
    main()
