"""What both wings' tests share."""

import pytest
from judge import Judge


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Learning to judge takes seconds: once a run."""
    return Judge.train()
