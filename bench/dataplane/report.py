"""Tables in Markdown, and a plot as SVG."""

import html
import statistics

COLUMNS = [
    ("requests/s", "rate", ",.0f"),
    ("CPU s per 100k requests", "cpu", ".2f"),
    ("p50 ms", "p50", ".2f"),
    ("p99 ms", "p99", ".2f"),
    ("p99.9 ms", "p999", ".2f"),
    ("RSS MiB", "rss", ".1f"),
]
COLOURS = ["#8a8f98", "#5f6b7a", "#2b7a9b", "#b5762a", "#d9a25f", "#1d8348", "#6c3483"]


def medians(rounds):
    return {key: statistics.median(one[key] for one in rounds) for _, key, _ in COLUMNS}


def table(results, base):
    """`results`: name -> medians, in order. Ratios of processor time are to `base`."""
    heads = ["proxy", *(title for title, _, _ in COLUMNS), f"CPU to {base}"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, row in results.items():
        ratio = "" if name.startswith("back end") else f"{row['cpu'] / results[base]['cpu']:.2f}"
        cells = [name, *(format(row[key], style) for _, key, style in COLUMNS), ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(scenarios):
    """Processor time per request, a group of bars for each scenario: (title, name -> medians)."""
    width, height, left, bottom = 1000, 380, 60, 70
    names = list(dict.fromkeys(name for _, rows in scenarios for name in rows if not name.startswith("back end")))
    most = max(row["cpu"] for _, rows in scenarios for name, row in rows.items() if name in names)
    group = (width - left) / len(scenarios)
    bar = group * 0.8 / len(names)
    scale = (height - bottom - 60) / most
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20" font-size="15">Processor seconds per 100,000 requests (less is better)</text>',
    ]
    for step in range(5):
        value = most * step / 4
        y = height - bottom - value * scale
        out.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.1f}</text>')
    for at, (title, rows) in enumerate(scenarios):
        x = left + at * group
        out.append(
            f'<text x="{x + group / 2:.1f}" y="{height - bottom + 18}" text-anchor="middle">{html.escape(title)}</text>'
        )
        for index, name in enumerate(names):
            if name in rows:
                size = rows[name]["cpu"] * scale
                out.append(
                    f'<rect x="{x + group * 0.1 + index * bar:.1f}" y="{height - bottom - size:.1f}" width="{bar * 0.9:.1f}" '
                    f'height="{size:.1f}" fill="{COLOURS[index % len(COLOURS)]}"><title>{html.escape(name)}: '
                    f'{rows[name]["cpu"]:.2f}</title></rect>'
                )
    for index, name in enumerate(names):
        x = left + index * (width - left) / len(names)
        out.append(f'<rect x="{x:.1f}" y="{height - 26}" width="12" height="12" fill="{COLOURS[index % len(COLOURS)]}"/>')
        out.append(f'<text x="{x + 17:.1f}" y="{height - 16}">{html.escape(name)}</text>')
    return "\n".join([*out, "</svg>", ""])
