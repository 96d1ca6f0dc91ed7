"""What all tests of staff share."""

import pytest
from django.urls import reverse


@pytest.fixture(autouse=True, scope="session")
def _admin_is_loaded():
    """Its models are registered with the URLs, whichever test comes first in this process."""
    reverse("admin:index")
