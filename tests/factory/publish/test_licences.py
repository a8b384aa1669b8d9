"""Which licences go together."""

import pytest

from factory.publish.licences import conflict, front_matter


@pytest.mark.parametrize(
    ("own", "collection"),
    [
        ("apache-2.0", "apache-2.0"), ("MIT", "apache-2.0"), ("cc-by-4.0", "apache-2.0"), ("CC0-1.0", "cc-by-sa-4.0"),
        ("mit", "cc-by-nc-4.0"), ("cc-by-sa-3.0", "cc-by-sa-4.0"), ("cc-by-sa-4.0", "gpl-3.0"), ("cc-by-nc-4.0", "cc-by-nc-sa-4.0"),
        ("my own", "My  Own"),
    ],
)  # fmt: skip
def test_these_go_together(own: str, collection: str) -> None:
    assert conflict(own, collection) == ""


@pytest.mark.parametrize(
    ("own", "collection", "because"),
    [
        ("cc-by-nc-4.0", "apache-2.0", "commercial"), ("cc-by-sa-4.0", "apache-2.0", "cc-by-sa-4.0 or gpl-3.0"),
        ("cc-by-nc-nd-4.0", "cc-by-nc-nd-4.0", "no derivatives"), ("cc-by-sa-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-4.0"),
        ("gpl-3.0", "mit", "agpl-3.0 or gpl-3.0"), ("mit", "cc0-1.0", "attribution"), ("unknown", "apache-2.0", "judged"),
        ("", "apache-2.0", "judged"), ("mit", "my-own", "judged"),
    ],
)  # fmt: skip
def test_these_do_not(own: str, collection: str, because: str) -> None:
    assert because in conflict(own, collection)


def test_a_licence_that_the_hub_does_not_know_is_other_by_its_name() -> None:
    assert front_matter("Apache-2.0") == {"license": "apache-2.0"}
    assert front_matter("My Licence 1") == {"license": "other", "license_name": "my-licence-1"}
