"""Draws a Grafana dashboard from its own expressions, with matplotlib in place of Grafana."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator
from PIL import Image

WIDTH, CELL, GAP, DPI = 1400, 28, 8, 100
COLUMNS = 24
MOST_BYTES = 400_000
# Of names below a panel.
MOST_ROWS = 3
GROUND, PANEL, BORDER, GRID = "#111217", "#181b1f", "#2c2f36", "#2a2d33"
TEXT, FAINT = "#d5d6dd", "#9a9ba5"
# Near Grafana's classic palette, whose later colours are hard to tell from its first; and Grafana's names for colours.
PALETTE = [
    "#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9",
    "#2cc7c0", "#ff9dc4", "#b9c4d0", "#a3842f", "#8ab8ff", "#37872d",
]
NAMES = {
    "green": "#73bf69", "yellow": "#fade2a", "blue": "#5794f2", "orange": "#ff9830",
    "red": "#f2495c", "purple": "#b877d9", "text": TEXT,
}
SHADES = ["#9fa7b3", "#5794f2", "#73bf69", "#ff9830", "#f2495c", "#b877d9"]
ORIGIN = "Drawn from the dashboard's own expressions by docs/pictures/make, with data of a real run; not by Grafana."
# How much of its shade an event's band has.
BAND = 0.12

# What Grafana calls a unit: the steps that a value is told in, and what follows it.
TIMES = [(1e-6, "µs"), (1e-3, "ms"), (1, "s"), (60, "min"), (3600, "hours"), (86400, "days")]
CLOCK = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400]
THOUSANDS = [(1, ""), (1e3, "K"), (1e6, "Mil"), (1e9, "Bil")]
SI = [(1, ""), (1e3, "k"), (1e6, "M"), (1e9, "G")]
UNITS = {
    "": [(1, "")], "none": [(1, "")], "short": THOUSANDS, "percent": [(1, "%")], "percentunit": [(0.01, "%")],
    "s": TIMES, "ms": [(step * 1e3, name) for step, name in TIMES],
    "bytes": [(1024**power, name) for power, name in enumerate(["B", "KiB", "MiB", "GiB"])],
    "decbytes": [(1000**power, name) for power, name in enumerate(["B", "kB", "MB", "GB"])],
    "Bps": [(1000**power, name) for power, name in enumerate(["B/s", "kB/s", "MB/s"])],
    **{unit: [(step, name + word) for step, name in SI] for unit, word in {
        "reqps": " req/s", "ops": " ops/s", "rps": " reads/s", "wps": " writes/s", "cps": " c/s", "hertz": "Hz"}.items()},
}


class Fault(Exception):
    """A panel that cannot be drawn."""


class Prometheus:
    """Where series come from, and the time that is shown."""

    def __init__(self, url, start, end, scrape_seconds):
        self.url, self.start, self.end, self.scrape = url, start, end, scrape_seconds

    def get(self, path, **parameters):
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            said = refused.read().decode(errors="replace")
            try:
                raise Fault(json.loads(said)["error"]) from None
            except (ValueError, KeyError):
                raise Fault(said) from None

    def series(self, expression, step):
        """Labels and values of each series, at the same times for all; NaN where there is none."""
        data = self.get("query_range", query=expression, start=self.start, end=self.end, step=step)
        times = np.arange(self.start, self.end + step / 2, step)
        found = []
        for one in data["result"]:
            values = np.full(len(times), np.nan)
            for at, value in one["values"]:
                values[min(round((at - self.start) / step), len(times) - 1)] = float(value)
            found.append((one["metric"], values))
        return times - self.start, found


def seconds(text):
    """Of a duration such as 30s, perhaps after `>`, as Grafana has it."""
    match = re.fullmatch(r">?(\d+)(ms|s|m|h|d)", text or "")
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0


def duration(number):
    return f"{round(number * 1000)}ms"


def variables(dashboard, source):
    """The values of the template variables, as Grafana has them when the dashboard is opened."""
    found = {}
    for one in dashboard.get("templating", {}).get("list", []):
        if one["type"] == "datasource":
            continue
        current = (one.get("current") or {}).get("value", one.get("query", ""))
        chosen = current if isinstance(current, list) else [current]
        if one["type"] == "query":
            query = one["query"]["query"] if isinstance(one["query"], dict) else one["query"]
            match = re.fullmatch(r"label_values\((?:(.+),\s*)?(\w+)\)", query)
            if not match:
                raise Fault(f"variable {one['name']}: {query} is not understood")
            selector = {"match[]": match[1]} if match[1] else {}
            values = source.get(f"label/{match[2]}/values", **selector)
            if not values:
                raise Fault(f"variable {one['name']}: {query} gives no value")
            if "$__all" in chosen:
                chosen = [one["allValue"]] if one.get("allValue") else values
            elif chosen in ([""], [{}]):
                chosen = values[:1]
        found[one["name"]] = chosen[0] if len(chosen) == 1 else f"({'|'.join(chosen)})"
    return found


def filled(text, values):
    """`text` with variables replaced, in all three ways of naming them. `$1` is none: it is a group of label_replace."""
    def value(match):
        name = next(filter(None, match.groups()))
        if name not in values:
            raise Fault(f"variable {name} is not known")
        return values[name]

    return re.sub(r"\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]|\$([a-zA-Z_]\w*)", value, text)


def times_of(panel, target, source, width):
    """The step of a panel's queries and the variables that follow from it, by Grafana's rules."""
    least = max(source.scrape, seconds(panel.get("interval")), seconds(target.get("interval")))
    points = panel.get("maxDataPoints") or width
    step = max(least, math.ceil((source.end - source.start) / points))
    whole = source.end - source.start
    known = {"__interval": step, "__rate_interval": max(step + source.scrape, 4 * source.scrape), "__range": whole}
    return step, {
        **{name: duration(number) for name, number in known.items()},
        **{f"{name}_ms": str(round(number * 1000)) for name, number in known.items()}, "__range_s": str(round(whole)),
    }


def queried(panel, source, known, width):
    """Each target's series: target, name of the series, labels, values."""
    shown, times = [], None
    for target in panel.get("targets", []):
        if target.get("hide"):
            continue
        step, of_time = times_of(panel, target, source, width)
        times, found = source.series(filled(target["expr"], {**known, **of_time}), step)
        for labels, values in found:
            shown.append((target, legend(target, labels), labels, values))
    return times, shown


def legend(target, labels):
    form = target.get("legendFormat")
    if form and form != "__auto":
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), form).strip()
    rest = {name: value for name, value in labels.items() if name != "__name__"}
    return labels.get("__name__", "") + ("{" + ", ".join(f'{n}="{v}"' for n, v in rest.items()) + "}" if rest else "") or "value"


def settings_of(panel, target, name):
    """The field's settings: the panel's, and what is set for this series."""
    config = panel.get("fieldConfig", {})
    settings = dict(config.get("defaults", {}))
    for one in config.get("overrides", []):
        matcher, wanted = one["matcher"]["id"], one["matcher"]["options"]
        if (
            (matcher == "byName" and wanted == name)
            or (matcher == "byRegexp" and re.search(wanted.strip("/"), name))
            or (matcher == "byFrameRefID" and wanted == target.get("refId"))
        ):
            settings.update({each["id"]: each.get("value") for each in one["properties"]})
    return settings


def scale(unit, most):
    """By what values of this unit are divided and what follows them, when the largest is `most`."""
    steps = UNITS.get(unit)
    if steps is None:
        raise Fault(f"unit {unit} is not known here")
    fitting = [step for step in steps if step[0] <= abs(most) * 1.0001]
    if fitting:
        return fitting[-1]
    # Nothing is told in the unit itself.
    return steps[0] if most else next((step for step in steps if step[0] == 1), steps[0])


def told(value, unit, decimals=None):
    """A value as Grafana writes it."""
    if not math.isfinite(value):
        return "No data" if math.isnan(value) else "∞" if value > 0 else "-∞"
    divisor, word = scale(unit, value)
    number = value / divisor
    if decimals is None:
        decimals = 0 if number == round(number) else max(0, 2 - int(math.log10(max(abs(number), 1))))
    return f"{number:.{decimals}f}{'' if word in ('%', '') or word.startswith(' ') else ' '}{word}"


def color(setting, fallback):
    fixed = (setting.get("color") or {})
    name = fixed.get("fixedColor") if fixed.get("mode") == "fixed" else None
    return shade(name) if name else fallback


def shade(name):
    """A colour of Grafana's: `red`, `dark-red`, `#abcdef`."""
    return NAMES.get(name.split("-")[-1], name if name.startswith("#") else TEXT)


def blended(ink):
    """The colour as the band of an event has it."""
    return tuple(BAND * one + (1 - BAND) * ground for one, ground in zip(to_rgb(ink), to_rgb(PANEL)))


def steps_of(settings):
    return [(-math.inf if one.get("value") is None else one["value"], shade(one["color"]))
            for one in (settings.get("thresholds") or {}).get("steps", [])]


class Canvas:
    """The picture, in pixels from its upper left corner."""

    def __init__(self, height):
        self.height = height
        self.figure = plt.figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=GROUND)
        self.renderer = self.figure.canvas.get_renderer()

    def text(self, x, y, words, size=9, ink=TEXT, **more):
        return self.figure.text(x / WIDTH, 1 - y / self.height, words, fontsize=size, color=ink, **{"va": "top", **more})

    def width(self, words, size):
        drawn = self.text(0, 0, words, size)
        width = drawn.get_window_extent(self.renderer).width
        drawn.remove()
        return width

    def box(self, x, y, w, h, face=PANEL, edge=BORDER):
        # Below the axes, which are at 0.
        style = {"boxstyle": "round,pad=0,rounding_size=3", "lw": 0.8, "zorder": -1}
        corner = (x, self.height - y - h)
        self.figure.add_artist(FancyBboxPatch(corner, w, h, transform=None, facecolor=face, edgecolor=edge, **style))

    def line(self, x, y, w, ink):
        self.box(x, y, w, 3, ink, ink)

    def axes(self, x, y, w, h):
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + h) / self.height, w / WIDTH, h / self.height), facecolor="none")
        for side in axes.spines.values():
            side.set_visible(False)
        axes.tick_params(colors=FAINT, labelsize=8, length=0)
        return axes

    def cut(self, words, size, room):
        """The words, as many as there is room for."""
        if self.width(words, size) <= room:
            return words
        while words and self.width(f"{words}…", size) > room:
            words = words[:-1]
        return f"{words}…"


def on_time(axes, times, events):
    axes.set_xlim(times[0], times[-1])
    for (start, end, _), ink in zip(events, SHADES):
        axes.axvspan(start, end, color=ink, alpha=BAND, lw=0)
    whole = times[-1] - times[0]
    step = next((step for step in [10, 15, 30, 60, 120, 300, 600, 1800, 3600] if whole / step <= 7), whole)
    axes.xaxis.set_major_locator(FixedLocator(np.arange(step, whole + 1, step)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{int(at) // 60}:{int(at) % 60:02}"))
    axes.tick_params(axis="x", pad=5)
    axes.grid(axis="both", color=GRID, lw=0.7)
    axes.set_axisbelow(True)


def legends(canvas, entries, x, bottom, room):
    """Draws names with their colours in rows above `bottom`; the height they take."""
    size, rows, row, used = 8.5, [], [], 0
    for name, ink in entries:
        name = canvas.cut(name or "value", size, room - 24)
        wide = canvas.width(name, size) + 36
        if row and used + wide > room:
            rows.append(row)
            row, used = [], 0
        row.append((used, name, ink))
        used += wide
    rows.append(row)
    # Grafana lets one scroll.
    if len(rows) > MOST_ROWS:
        left_out = sum(len(row) for row in rows[MOST_ROWS - 1:])
        rows = [*rows[:MOST_ROWS - 1], [(0, f"{left_out} more", PANEL)]]
    for number, row in enumerate(rows):
        y = bottom - (len(rows) - number) * 17
        for offset, name, ink in row:
            canvas.line(x + offset, y + 6, 14, ink)
            canvas.text(x + offset + 20, y + 1, name, size)
    return len(rows) * 17


def timeseries(canvas, panel, times, shown, events, x, y, w, h):
    entries, tops, stack = [], [0], None
    axes_height = h - 62
    series = []
    for number, (target, name, _, values) in enumerate(shown):
        settings = settings_of(panel, target, name)
        ink = color(settings, PALETTE[number % len(PALETTE)])
        name = settings.get("displayName") or name
        series.append((settings, name, ink, values))
        entries.append((name, ink))
    taken = legends(canvas, entries, x + 12, y + h - 8, w - 24)
    axes = canvas.axes(x + 76, y + 36, w - 92, axes_height - taken)
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    custom = defaults.get("custom", {})
    lows, whole = [], True
    for settings, _, ink, values in series:
        own = {**custom, **{key[7:]: value for key, value in settings.items() if key.startswith("custom.")}}
        base = 0
        if (own.get("stacking") or {}).get("mode") == "normal":
            base = np.zeros(len(values)) if stack is None else stack
            values = stack = base + np.nan_to_num(values)
        values = np.where(np.isinf(values), np.nan, values)
        if own.get("drawStyle") == "bars":
            axes.bar(times, values - base, bottom=base, width=times[1] - times[0], color=ink, alpha=0.8)
        else:
            # A lone value between gaps is a point.
            lone = np.isfinite(values) & ~np.isfinite(np.append(np.nan, values[:-1])) & ~np.isfinite(np.append(values[1:], np.nan))
            axes.plot(times, values, color=ink, lw=1.4, solid_joinstyle="round")
            axes.plot(times[lone], values[lone], "o", color=ink, ms=3)
            if own.get("fillOpacity"):
                axes.fill_between(times, base, values, color=ink, alpha=own["fillOpacity"] / 100, lw=0)
        if np.isfinite(values).any():
            tops.append(np.nanmax(values))
            lows.append(np.nanmin(values))
            whole = whole and not np.nansum(values % 1)
    if (custom.get("thresholdsStyle") or {}).get("mode", "off") != "off":
        for at, ink in steps_of(defaults):
            if math.isfinite(at):
                axes.axhline(at, color=ink, lw=1, ls="--")
                tops.append(at)
    high = defaults.get("max", max(tops) * 1.06 or 1)
    low = defaults.get("min", min([0, *lows]))
    if (custom.get("scaleDistribution") or {}).get("type") == "log":
        axes.set_yscale("log", base=custom["scaleDistribution"].get("log", 10))
        low = min((value for value in lows if value > 0), default=high / 100) / 1.3
    on_time(axes, times, events)
    axes.set_ylim(low, high)
    on_values(axes, defaults.get("unit", ""), low, high, defaults.get("decimals"), whole)


def on_values(axes, unit, low, high, decimals, whole):
    """The axis of values; `whole` says that these are whole numbers."""
    divisor, word = scale(unit, high)
    if axes.get_yscale() == "linear":
        if UNITS[unit] is TIMES and high > 1:
            step = next((step for step in CLOCK if high / step <= 5), math.ceil(high / 5 / 86400) * 86400)
            ticks = np.arange(math.ceil(low / step) * step, high, step)
        else:
            nice = MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], integer=whole and divisor == 1)
            ticks = [tick * divisor for tick in nice.tick_values(low / divisor, high / divisor)]
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(FixedLocator([]))

    def told_at(value, _):
        if UNITS[unit] is TIMES or axes.get_yscale() == "log":
            return told(value, unit, decimals)
        number = f"{value / divisor:.4g}" if decimals is None else f"{value / divisor:.{decimals}f}"
        return number + ("" if word in ("%", "") or word.startswith(" ") else " ") + word

    axes.yaxis.set_major_formatter(FuncFormatter(told_at))


def heatmap(canvas, panel, times, shown, events, x, y, w, h):
    """Of a histogram's buckets: how many fell into each."""
    def bound(one):
        return float(one[2].get("le", "nan"))

    rows = sorted((one for one in shown if not math.isnan(bound(one))), key=bound)
    if not rows:
        raise Fault("a heatmap is drawn from buckets, with the label le")
    counts = np.diff(np.nan_to_num(np.array([values for *_, values in rows])), axis=0, prepend=0).clip(0)
    axes = canvas.axes(x + 76, y + 36, w - 92, h - 66)
    counts[counts == 0] = np.nan
    axes.imshow(counts, aspect="auto", origin="lower", cmap="plasma", interpolation="nearest",
                extent=(times[0], times[-1], -0.5, len(rows) - 0.5))
    on_time(axes, times, events)
    unit = (panel.get("options", {}).get("yAxis") or {}).get("unit") or panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    shown_rows = range(0, len(rows), max(1, math.ceil(len(rows) / 8)))
    axes.yaxis.set_major_locator(FixedLocator(list(shown_rows)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: f"≤ {told(bound(rows[int(at)]), unit)}"))


CALCULATIONS = {
    "mean": np.mean, "max": np.max, "min": np.min, "sum": np.sum,
    "first": lambda values: values[0], "firstNotNull": lambda values: values[0],
    "last": lambda values: values[-1], "lastNotNull": lambda values: values[-1],
}


def stat(canvas, panel, times, shown, events, x, y, w, h):
    """Numbers side by side, with their history behind them."""
    options = panel.get("options", {})
    calculation = ((options.get("reduceOptions") or {}).get("calcs") or ["lastNotNull"])[0]
    each = w / len(shown)
    for number, (target, name, _, values) in enumerate(shown):
        settings = settings_of(panel, target, name)
        known = values[~np.isnan(values)]
        reduce = CALCULATIONS.get(calculation)
        if reduce is None:
            raise Fault(f"calculation {calculation} is not known here")
        value = reduce(known) if len(known) else math.nan
        ink = color(settings, NAMES["green"])
        for at, threshold in steps_of(settings):
            if value >= at and (settings.get("color") or {"mode": "thresholds"}).get("mode") == "thresholds":
                ink = threshold
        left = x + number * each + 4
        if options.get("graphMode", "area") == "area" and np.isfinite(values).sum() > 1 and h > 90:
            axes = canvas.axes(left, y + h * 0.7, each - 8, h * 0.28)
            axes.set_axis_off()
            finite = np.where(np.isinf(values), np.nan, values)
            axes.fill_between(times, 0, finite, color=ink, alpha=0.2, lw=0)
            axes.plot(times, finite, color=ink, lw=1)
            axes.set_xlim(times[0], times[-1])
        words = told(value, settings.get("unit", ""), settings.get("decimals"))
        most = 24 if len(shown) == 1 else 18
        size = min(most, most * (each - 16) * 0.87 / canvas.width(words, most))
        middle = left + each / 2 - 4
        canvas.text(middle, y + (h * 0.49 if len(shown) == 1 else h * 0.57), words, size, ink, ha="center", va="center", weight="bold")
        if len(shown) > 1:
            canvas.text(middle, y + 28, canvas.cut(settings.get("displayName") or name, 8.5, each - 8), 8.5, FAINT, ha="center")


KINDS = {"timeseries": timeseries, "graph": timeseries, "heatmap": heatmap, "stat": stat, "gauge": stat, "bargauge": stat}


def all_panels(dashboard):
    """The panels, with those that a closed row holds under it."""
    moved = 0
    for panel in sorted(dashboard["panels"], key=lambda one: (one["gridPos"]["y"], one["gridPos"]["x"])):
        place = dict(panel["gridPos"], y=panel["gridPos"]["y"] + moved)
        yield {**panel, "gridPos": place}
        inner = panel.get("panels", []) if panel["type"] == "row" else []
        if inner:
            first = min(one["gridPos"]["y"] for one in inner)
            for one in inner:
                yield {**one, "gridPos": dict(one["gridPos"], y=one["gridPos"]["y"] - first + place["y"] + 1)}
            moved += max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in inner) - first


def draw_panel(canvas, panel, source, known, events, may_be_empty, top):
    """Draws one panel."""
    place = panel["gridPos"]
    unit = (WIDTH - GAP) / COLUMNS
    x, y = GAP + place["x"] * unit, top + place["y"] * CELL
    w, h = place["w"] * unit - GAP, place["h"] * CELL - GAP
    title = filled(panel.get("title", ""), known)
    if panel["type"] == "row":
        canvas.text(x + 4, y + CELL / 2 - 2, f"▾  {title}", 11, weight="bold", va="center")
        return
    canvas.box(x, y, w, h)
    canvas.text(x + 12, y + 9, canvas.cut(title, 10, (w - 24) * 0.87), 10, weight="bold")
    if panel["type"] == "text":
        canvas.text(x + 12, y + 36, filled(panel["options"].get("content", ""), known), 9)
        return
    if panel["type"] not in KINDS:
        raise Fault(f"panels of type {panel['type']} cannot be drawn here")
    times, shown = queried(panel, source, known, round(w))
    if not any(np.isfinite(values).any() for *_, values in shown):
        canvas.text(x + w / 2, y + h / 2 - 8, "No data", 12, FAINT, ha="center", va="center")
        if title not in may_be_empty:
            raise Fault("shows nothing")
        canvas.text(x + w / 2, y + h / 2 + 16, f"here: {may_be_empty[title]}", 9, FAINT, ha="center", va="center")
        return
    KINDS[panel["type"]](canvas, panel, times, shown, events, x, y, w, h)


def draw(dashboard, source, events, may_be_empty, picture):
    """Draws the dashboard of that file; what is wrong with panels. `events` are (start, end, what) in seconds; `may_be_empty` holds titles
    and reasons."""
    dashboard = json.loads(dashboard.read_text())
    panels = list(all_panels(dashboard))
    titles = [panel.get("title") for panel in panels]
    faults = [f"{title}: may be empty, but there is no such panel" for title in may_be_empty if title not in titles]
    try:
        known = variables(dashboard, source)
    except Fault as fault:
        return [*faults, str(fault)]
    top, rows = 44, max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    end = top + rows * CELL
    canvas = Canvas(end + 40 + 20 * ((len(events) + 1) // 2))
    canvas.text(GAP + 4, 12, dashboard["title"], 14, weight="bold")
    for panel in panels:
        try:
            draw_panel(canvas, panel, source, known, events, may_be_empty, top)
        except Fault as fault:
            faults.append(f"{panel.get('title')}: {fault}")
    for number, (event, ink) in enumerate(zip(events, SHADES)):
        x, y = GAP + 4 + (number % 2) * WIDTH / 2, end + 6 + number // 2 * 20
        canvas.box(x, y + 1, 22, 11, blended(ink), ink)
        start, stop = (f"{int(at) // 60}:{int(at) % 60:02}" for at in event[:2])
        canvas.text(x + 30, y, f"{start} to {stop}: {event[2]}", 9)
    canvas.text(GAP + 4, canvas.height - 24, ORIGIN, 9, FAINT)
    canvas.figure.savefig(picture, dpi=DPI, facecolor=GROUND)
    plt.close(canvas.figure)
    # A third of the size. Without k-means, rare colours such as those of lines would become others.
    Image.open(picture).convert("RGB").quantize(256, kmeans=1, dither=Image.Dither.NONE).save(picture, optimize=True)
    if picture.stat().st_size > MOST_BYTES:
        faults.append(f"{picture.name} has {picture.stat().st_size} bytes, more than {MOST_BYTES}")
    return faults
