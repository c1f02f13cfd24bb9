import pytest

from shortlist.data import Sample, sample


@pytest.fixture(scope="session")
def invented() -> Sample:
    return sample()
