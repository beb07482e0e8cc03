"""Write docs/metrics.md from the catalogue: `python tools/generate_metrics_page.py`."""

from __future__ import annotations

from pathlib import Path

from algowatch.catalog.document import render_markdown

TARGET = Path(__file__).parents[1] / "docs" / "metrics.md"

if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(render_markdown(), encoding="utf-8")
