"""What the commands say on stderr while they work."""

import time

import pytest

from shortlist.cli import output


def test_a_long_stage_says_every_minute_that_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MINUTE", 0.01)
    said = ""
    with output.stage("reading the data"):
        while "after 2 min" not in said:
            time.sleep(0.01)
            said += capsys.readouterr().err
    lines = said.splitlines()
    assert lines[:3] == [
        "shortlist: reading the data",
        "shortlist: still reading the data, after 1 min",
        "shortlist: still reading the data, after 2 min",
    ]
    time.sleep(0.05)
    capsys.readouterr()
    time.sleep(0.05)
    assert capsys.readouterr().err == ""
