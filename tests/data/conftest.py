import pytest
from hypothesis import settings

from shortlist.data import Sample, sample

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


@pytest.fixture(scope="session")
def invented() -> Sample:
    return sample()
