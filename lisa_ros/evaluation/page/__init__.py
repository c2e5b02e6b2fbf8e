"""What pages of scores are made of: plots, pictures, tables and one style sheet, all inside the page's one file."""

from __future__ import annotations

from pathlib import Path

PAGE_CSS = Path(__file__).parent / "page.css"
"""The style of every page, light and dark."""
