#!/usr/bin/env python3
"""Draws docs/performance/*.svg from results of benches/run.py (Debian: python3-matplotlib).

    benches/run.py /tmp/peers --json docs/performance/results.json
    benches/plot.py docs/performance/results.json ...

Several files are taken as one; of a scenario that is in two of them, the later file counts. A plot whose scenarios are in
none of them is left as it is. Bars are medians, whiskers the least and the most of the rounds.
"""

import collections
import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        # The same results give the same file.
        "svg.hashsalt": "wsh-server",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": "white",
    }
)

from matplotlib import pyplot  # noqa: E402

FOLDER = pathlib.Path(__file__).absolute().parent.parent / "docs" / "performance"

OURS = "wsh-server"
# Also for eyes that tell no red from green; ours is the dark one.
COLOURS = {"uwebsockets": "#9ecae1", "bun": "#fdae6b", OURS: "#08519c"}
LABELS = {"uwebsockets": "uWebSockets\n(no script)", "bun": "Bun", OURS: OURS}

MESSAGE = "server_us_per_message"

# File, title, what is drawn, and the scenarios with their labels.
PLOTS = [
    (
        "echo.svg",
        "Processor time of the server for an echo, µs (less is better)",
        MESSAGE,
        {
            "echo64x1": "64 bytes\n1 in flight",
            "echo64x16": "64 bytes\n16 in flight",
            "echo4k": "4 KiB",
            "echo16k": "16 KiB",
            "echo64k": "64 KiB",
        },
    ),
    (
        "fanout.svg",
        "Deliveries a second of what is published (more is better)",
        "per_second",
        {
            "fanout1k": "64 bytes\nto 1,000",
            "fanout10k": "64 bytes\nto 10,000",
            "fanout1k-16k": "16 KiB\nto 1,000",
            "fanout10k-16k": "16 KiB\nto 10,000",
            "fanout1k-deflate": "1 KiB, compressed\nto 1,000",
        },
    ),
    (
        "memory.svg",
        "Bytes of an idle connection, after a message (less is better)",
        "bytes_per_connection_after_message",
        {"idle": "plain", "idle-deflate": "compressed", "idle-tls": "TLS"},
    ),
    (
        "connect.svg",
        "Processor time of the server for a new connection, µs (less is better)",
        "server_us_per_connection",
        {"connect": "HTTP upgrade"},
    ),
]

SIZES = {"4k": 4, "16k": 16, "64k": 64, "256k": 256, "1m": 1024}
# Ways of the family `large`: how a scenario's name ends, and what that is.
WAYS = {
    "": "text, 1 in flight",
    "-binary": "binary, 1 in flight",
    "-x8": "text, 8 in flight",
    "-binary-x8": "binary, 8 in flight",
}


def main():
    files = [pathlib.Path(name) for name in sys.argv[1:]]
    if not files:
        sys.exit(__doc__)
    results = read(files)
    FOLDER.mkdir(exist_ok=True)
    for name, title, value, scenarios in PLOTS:
        here = {key: label for key, label in scenarios.items() if key in results}
        if here:
            bars(name, title, value, here, results)
    if any(name.startswith("large") for name in results):
        lines("large.svg", results)


def read(files):
    """The results by scenario and server, each with its rounds."""
    results = {}
    for file in files:
        mine = collections.defaultdict(lambda: collections.defaultdict(list))
        for run in json.loads(file.read_text())["runs"]:
            mine[run["scenario"]][run["server"]].append(run["result"])
        results.update(mine)
    return results


def spread(rounds, value):
    """Median, and how far the least and the most are from it; nothing if no round has the value."""
    values = [one[value] for one in rounds if one.get(value)]
    if not values:
        return None
    median = statistics.median(values)
    return median, [[median - min(values)], [max(values) - median]]


def bars(name, title, value, scenarios, results):
    figure, all_axes = pyplot.subplots(1, len(scenarios), figsize=(max(4.0, 1.9 * len(scenarios)), 3.0), squeeze=False)
    for axes, (scenario, label) in zip(all_axes[0], scenarios.items()):
        servers = [server for server in COLOURS if server in results[scenario]]
        for at, server in enumerate(servers):
            known = spread(results[scenario][server], value)
            if known is None:
                continue
            median, reach = known
            axes.bar(at, median, 0.8, color=COLOURS[server], label=LABELS[server].replace("\n", " "))
            axes.errorbar(at, median, reach, color="#444444", linewidth=0.8, capsize=2)
            top = median + reach[1][0]
            axes.text(at, top, f"{number(median)}\n", ha="center", va="bottom", fontsize=8, linespacing=0.6)
        axes.set_title(label, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(y=0.15)
    handles, labels = all_axes[0][0].get_legend_handles_labels()
    figure.suptitle(title, fontsize=10)
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    save(figure, name)


def number(value):
    if value >= 10_000:
        return f"{value / 1000:,.0f} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def lines(name, results):
    """Throughput of ours as a share of the peers', over the size of a message."""
    figure, all_axes = pyplot.subplots(1, len(WAYS), figsize=(9.5, 3.0), sharey=True)
    for axes, (ending, title) in zip(all_axes, WAYS.items()):
        for peer in ("uwebsockets", "bun"):
            points = []
            for size, kibibytes in SIZES.items():
                servers = results.get(f"large{size}{ending}", {})
                both = [spread(servers.get(server, []), MESSAGE) for server in (peer, OURS)]
                if all(both):
                    points.append((kibibytes, both[0][0] / both[1][0]))
            if points:
                label = LABELS[peer].replace("\n", " ")
                axes.plot(*zip(*points), color=COLOURS[peer], marker="o", linewidth=2, label=label)
        axes.axhline(1, color="#08519c", linewidth=1, label=OURS)
        axes.set_xscale("log", base=4)
        axes.set_xticks(list(SIZES.values()), [f"{size}" for size in SIZES])
        axes.set_title(title, fontsize=9)
    # All have the same scale: it is known when all are drawn.
    all_axes[0].set_ylim(bottom=0)
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.suptitle("Processor time for an echo: the peer's, of ours (above 1, ours takes less)", fontsize=10)
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), frameon=False)
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    save(figure, name)


def save(figure, name):
    figure.savefig(FOLDER / name, metadata={"Date": None})
    pyplot.close(figure)
    print(FOLDER / name)


if __name__ == "__main__":
    main()
