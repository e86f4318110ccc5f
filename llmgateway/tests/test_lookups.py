"""Whatever the query string of an admin's list says, it is no failure of the gateway."""

from collections.abc import Iterator
from itertools import islice, product
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin as django_admin
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from conversations.models import User
from conversations.tests.calls import ask, person, user
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db
JUNK = ["x", "\0", "9" * 30, "["]
LOOKUPS = ["__gt", "__isnull", "__date"]
# By drill; in the suite each fifth, which meets every look-up and every junk.
EACH = pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.drill), 5])
OWN = ["q", "p", "o", "e", "all", "before", "after", "since", "until", "_popup", "_to_field", "of"]


@pytest.mark.parametrize(
    "model", django_admin.site._registry, ids=lambda model: model._meta.label_lower
)
@EACH
def test_no_query_fails(model, step):
    owner = person("alice")
    ask(owner, [user("hello")])
    ApiKey.make(owner, "laptop")
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    reader = User.objects.create_superuser("reader")
    reader.groups.set(Group.objects.all())  # no right of the record comes with the superuser's
    client = Client(raise_request_exception=False)
    client.force_login(reader)
    assert status_of(client, url) == 200
    tried = islice(queries(model), 0, None, step)
    failed = {query for query in tried if status_of(client, url + query) >= 500}
    assert failed == set()


@EACH
def test_no_address_says_by_number_which_rows_there_are(admin, step):
    admin.raise_request_exception = False
    alice = person("alice")
    key, _ = ApiKey.make(alice, "laptop")
    known = [alice.pk, key.pk, ask(alice, [user("hello")]).id]
    kinds = list(ContentType.objects.all())
    junk = islice(product(kinds, map(quote, JUNK)), 0, None, step)
    for kind, value in (*product(kinds, known), *junk):
        assert status_of(admin, f"/admin/r/{kind.pk}/{value}/") == 404


def queries(model: type[Model]) -> Iterator[str]:
    """Each field with lookups, and what lists and their filters read, with values of any kind."""
    for field in model._meta.get_fields():
        for lookup, value in product(LOOKUPS, ("x",)):
            yield "?" + urlencode({field.name + lookup: value})
    names = [*OWN]
    for listed in django_admin.site._registry[model].list_filter:
        if isinstance(listed, type):
            names.append(listed.parameter_name)
        else:
            names += [f"{listed}__exact", f"{listed}__id__exact"]
    for name, value in product(names, JUNK):
        yield "?" + urlencode({name: value})


def status_of(client: Client, url: str) -> int:
    with transaction.atomic():  # a statement that fails spoils no other request's
        return client.get(url).status_code
