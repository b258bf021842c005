"""Pictures for the networks of these tests."""

import pytest
import torch


@pytest.fixture(autouse=True)
def seeded():
    """The same networks in each run."""
    torch.manual_seed(0)


@pytest.fixture
def images():
    """Float pictures of shape (2, 3, 64, 64), normalised."""
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
