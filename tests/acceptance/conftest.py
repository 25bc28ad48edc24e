import pytest

from tests.acceptance.site import Site


@pytest.fixture
def site(tmp_path) -> Site:
    return Site(tmp_path / "site")
