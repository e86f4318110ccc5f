import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_the_models_need_no_further_migration():
    # exits with 1 where one is missing
    call_command("makemigrations", check=True, dry_run=True, verbosity=3)
