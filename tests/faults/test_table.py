"""docs/reliability.md shows exactly the campaign that runs."""

from campaign import PAGE, ROWS, tables


def test_page_shows_every_row():
    assert tables().rstrip() in PAGE.read_text(encoding="utf-8"), "run: ./run shell -c 'python tests/faults/campaign.py'"
    assert len(ROWS) >= 40
