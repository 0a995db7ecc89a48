"""Writes tables as CSV, and shows them to people."""

import csv

# Of each table, what fits a terminal.
SHOWN = {
    "sweeps": ("workload", "optimizer", "metric", "best_epsilon", "best_lr", "best_value", "best_spread", "good_points", "points",
               "random_wide", "cross_entropy_wide"),
    "bounds": ("workload", "optimizer", "combination", "search_lower", "search_upper", "decades", "narrowing", "best_inside",
               "good_inside", "chance_inside", "lost", "random_bounds", "cross_entropy_bounds"),
    "moved": None,
    "summary": None,
}


def write(out, tables):
    """Each table under its name; an empty one is left out."""
    for name, rows in tables.items():
        if not rows:
            continue
        path = out / f"{name}.csv"
        temporary = path.with_suffix(".tmp")
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(path)


def told(tables):
    """The tables that people look at."""
    shown = [(name, tables[name], columns) for name, columns in SHOWN.items() if tables[name]]
    return "\n\n".join(f"{name}\n{aligned(rows, columns or tuple(rows[0]))}" for name, rows, columns in shown)


def aligned(rows, columns):
    cells = [columns, *([cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip() for row in cells)


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
