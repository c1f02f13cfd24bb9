import pytest

from shortlist.data import Sample, sample


@pytest.fixture(scope="session")
def invented() -> Sample:
    return sample()


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns of any size are files, and every pass goes five rows at a time."""
    monkeypatch.setattr("shortlist.data.storage.LARGE", 1)
    monkeypatch.setattr("shortlist.data.storage.BLOCK", 5)
    monkeypatch.setattr("shortlist.data.files.BLOCK", 5)
    monkeypatch.setattr("shortlist.data.histories.BLOCK", 5)
