"""Write src/algowatch/telemetry/groups.py from the catalogue: `python tools/generate_groups.py`, `--check` to compare only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from algowatch.catalog.families import FAMILIES, GROUPS, Family
from algowatch.telemetry.template import class_name, class_source, method_source

TARGET = Path(__file__).parents[1] / "src" / "algowatch" / "telemetry" / "groups.py"

HEADER = '''"""The recorders as a bot sees them: `watch.orders.submitted(...)`, `watch.pnl.daily.set(...)`.

Written by tools/generate_groups.py from catalog/families.py; change the catalogue or the template, not this file.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Never, SupportsFloat

from algowatch.catalog.families import recorded_as
from algowatch.telemetry.recorders import MISSING, Counter, Gauge, Histogram, Timer
from algowatch.telemetry.registry import Registry
from algowatch.telemetry.template import Unexpected
'''


def recorder_name(family: Family) -> str:
    return family.recorder.partition(".")[2]


def group_source(group: str, doc: str) -> list[str]:
    """One group: counters are methods, gauges and histograms are attributes."""
    members = [family for family in FAMILIES if family.group == group]
    camel = "".join(part.capitalize() for part in group.split("_"))
    lines = [f"class {camel}Group:", f'    """{doc}"""', "", "    def __init__(self, registry: Registry) -> None:"]
    for family in members:
        private = "_" if family.type == "counter" else ""
        make = "Counter" if private else class_name(family.type, family.labels)
        name = private + recorder_name(family)
        lines.append(f'        self.{name} = registry.declare(recorded_as("{family.recorder}"), {make})')
        if not private:
            lines.append(f'        """{family.help}."""')
    for family in members:
        if family.type == "counter":
            name = recorder_name(family)
            source = method_source(name, "inc", family.labels, f"self._{name}", f"{family.help}.")
            lines += ["", *("    " + line for line in source)]
    return lines


def source() -> str:
    """The whole module, formatted."""
    wanted = sorted({(family.type, family.labels) for family in FAMILIES if family.recorder and family.type != "counter"})
    blocks = [class_source(kind, labels) for kind, labels in wanted]
    blocks += [group_source(group, doc) for group, doc in GROUPS.items()]
    text = HEADER + "\n\n" + "\n\n\n".join("\n".join(block) for block in blocks) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    text = source()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
