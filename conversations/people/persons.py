"""Who is one person: accounts, and the end users of shared keys, by all their names.

Accounts are one person's where they have one external id or one e-mail, or an admin joined them;
and so on from each of these to the next. An end user is claimed by the key's owner: the claim shows
whose conversation it may be, finds it, and bars that person from reviewing it. It gives no right.
"""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, F, Func, JSONField, Q, QuerySet
from django.db.models.expressions import RawSQL

from ..models import Conversation, Snapshot, User
from ..models.other_name import folded

Claim = tuple[int, str]  # the account whose shared key says it, and the name of the end user

JOINED = """
    WITH RECURSIVE same (id) AS (
        SELECT unnest(%s::bigint[])
        UNION
        SELECT link.id FROM same JOIN conversations_user one ON one.id = same.id
        CROSS JOIN LATERAL (
            SELECT id FROM conversations_user
            WHERE lower(email) = lower(one.email) AND one.email <> ''
            UNION ALL
            SELECT id FROM conversations_user
            WHERE lower(external_id) = lower(one.external_id)
                AND external_id = one.external_id AND one.external_id <> ''
            UNION ALL
            SELECT person_id FROM conversations_othername
            WHERE kind = 'account' AND account_id = one.id
            UNION ALL
            SELECT account_id FROM conversations_othername
            WHERE kind = 'account' AND person_id = one.id
        ) link)"""
ACCOUNTS = f"{JOINED} SELECT id FROM same"
OWN = """{same}, own AS (
        SELECT one.*, row_number() OVER (ORDER BY is_service, EXISTS (
            SELECT FROM conversations_othername
            WHERE kind = 'account' AND account_id = one.id), id) AS place
        FROM same JOIN conversations_user one USING (id))
    SELECT jsonb_build_array(
        (array_agg(id ORDER BY place))[1], (array_agg(username ORDER BY place))[1],
        coalesce((array_agg(department ORDER BY place) FILTER (WHERE department <> ''))[1], ''),
        coalesce((array_agg(job_title ORDER BY place) FILTER (WHERE job_title <> ''))[1], ''))
    FROM own"""
# The names of a service account name a program.
NAMES = f"""{JOINED}, named AS (
        SELECT lower(btrim(normalize(name, NFKC))) AS name
        FROM same JOIN conversations_user one USING (id)
        CROSS JOIN LATERAL unnest(
            CASE WHEN one.is_service THEN '{{}}'
            ELSE ARRAY[one.username, one.email, one.external_id] END) AS name)
    SELECT jsonb_build_array(
        ARRAY(SELECT id FROM same), ARRAY(SELECT DISTINCT name FROM named WHERE name <> ''),
        ARRAY(
            SELECT jsonb_build_array(account_id, name) FROM conversations_othername
            WHERE kind = 'end_user' AND person_id IN (SELECT id FROM same)
            UNION
            SELECT jsonb_build_array(account_id, claim.name) FROM conversations_othername claim
            JOIN named ON named.name = lower(btrim(normalize(claim.name, NFKC)))
            WHERE kind = 'end_user' AND named.name <> ''))"""

# The account that an admin named; else the first whose name, e-mail or external id it is.
FIT = """(
        SELECT jsonb_build_array(id, username) FROM (SELECT {claim}) claim (account, name)
        CROSS JOIN LATERAL nullif(btrim(normalize(claim.name, NFKC)), '') AS spelled
        CROSS JOIN LATERAL (
            SELECT person_id AS id, 0 AS place FROM conversations_othername
            WHERE kind = 'end_user' AND account_id = claim.account
                AND conversations_othername.name = claim.name AND person_id IS NOT NULL
            UNION ALL
            SELECT id, CASE WHEN username = spelled THEN 1 ELSE 2 END
            FROM conversations_user
            WHERE lower(username) = lower(spelled) AND NOT is_service
            UNION ALL
            SELECT id, 3 FROM conversations_user
            WHERE lower(email) = lower(spelled) AND NOT is_service
            UNION ALL
            SELECT id, 4 FROM conversations_user
            WHERE lower(external_id) = lower(spelled) AND NOT is_service
        ) fitting JOIN conversations_user USING (id) ORDER BY place, id LIMIT 1)"""
FITS = f"""
    SELECT said.account, said.name, {FIT.format(claim="said.account, said.name")}
    FROM unnest(%s::bigint[], %s::text[]) AS said (account, name)"""

REMEMBER = """
    INSERT INTO conversations_othername (kind, account_id, name, made)
    SELECT DISTINCT 'end_user', owner_id, end_user, now() FROM conversations_snapshot
    WHERE id = ANY(%s) AND end_user <> ''
    ON CONFLICT DO NOTHING"""


class Person(NamedTuple):
    """All that one person is known by."""

    accounts: frozenset[int]
    names: frozenset[str]  # folded: user names, e-mails, external ids
    claims: frozenset[Claim]  # on record

    def is_behind(self, row: Conversation | Snapshot) -> bool:
        """Whether the person owns a conversation or a call, or may be its end user."""
        return (
            row.owner_id in self.accounts
            or folded(row.end_user) in self.names
            or (row.owner_id, row.end_user) in self.claims
        )


class Fit(NamedTuple):
    """The account of an end user."""

    pk: int
    username: str


def find_accounts(*accounts: int) -> set[int]:
    """Find all accounts of the people that these accounts are. One query."""
    with connection.cursor() as cursor:
        cursor.execute(ACCOUNTS, [list(accounts)])
        return {account for (account,) in cursor.fetchall()}


def group_column() -> RawSQL:
    """Select, beside rows of accounts, all that the account's person is known by."""
    return RawSQL(f"({_known_of('ARRAY[conversations_user.id]')})", [], JSONField())  # noqa: S611


def own_account_column() -> RawSQL:
    """Select, beside rows of accounts, the account by which their person is shown.

    As [id, user name, department, job title]: one that is no second account, of several the
    oldest; department and job title where that has none are those of another.
    """
    same = JOINED.replace("%s::bigint[]", "ARRAY[conversations_user.id]")
    return RawSQL(f"({OWN.format(same=same)})", [], JSONField())  # noqa: S611


def is_of(accounts: QuerySet[User], path: str = "") -> Q:
    """Select calls or conversations of the people of these accounts, or what `path` leads from.

    Who the people are is looked up by the statement that this is a part of.
    """
    try:
        sql, values = accounts.values("pk").query.sql_with_params()
    except EmptyResultSet:
        return Q(pk__in=[])
    known = _known_of(f"ARRAY({sql})")
    own = f"(SELECT jsonb_array_elements_text(({known})->0)::bigint)"
    claims = f"""(SELECT (claim->>0)::bigint, claim->>1
        FROM jsonb_array_elements(({known})->2) claim)"""
    claimants = f"(SELECT account FROM {claims} claimed (account, name))"
    owner, end_user = F(f"{path}owner"), F(f"{path}end_user")
    is_own = _Holds(f"COLUMNS = ANY(ARRAY({own}))", values, owner)
    is_claimants = _Holds(f"COLUMNS = ANY(ARRAY({claimants}))", values, owner)
    return Q(is_own) | Q(is_claimants) & Q(
        _Holds(f"(COLUMNS) IN {claims}", values, owner, end_user)
    )


class _Holds(Func):
    """A condition of columns, which stand in it as COLUMNS."""

    output_field = BooleanField()

    def __init__(self, condition: str, values: Iterable[Any], *columns: F) -> None:
        super().__init__(*columns)
        self.condition, self.values = condition, values

    def as_sql(self, compiler: Any, connection: Any, *args: Any, **more: Any) -> Any:
        columns, _none = super().as_sql(compiler, connection, template="%(expressions)s")
        return self.condition.replace("COLUMNS", columns), [*self.values]


def _known_of(accounts: str) -> str:
    return NAMES.replace("%s::bigint[]", accounts)


def fit_column(row: str = "") -> Func:
    """Select, beside calls or conversations, the account of each one's end user; for `Names.load`.

    `row` is the path to them, as in conversation__.
    """
    claim = F(f"{row}owner"), F(f"{row}end_user")
    return Func(*claim, template=FIT.format(claim="%(expressions)s"), output_field=JSONField())


def find_group(accounts: QuerySet[User]) -> tuple[list[int], list[Claim]]:
    """Find all accounts, and the end users on record, of the people of these. One query."""
    try:
        sql, values = accounts.values("pk").query.sql_with_params()
    except EmptyResultSet:
        return [], []
    with connection.cursor() as cursor:
        cursor.execute(_known_of(f"ARRAY({sql})"), values)
        known = orjson.loads(cursor.fetchone()[0])
    return known[0], [(owner, name) for owner, name in known[2]]


def carry_person(account: Any, column: list[Any]) -> Person:
    """Have the account of a request carry its person, as NAMES reads it."""
    accounts, names = map(frozenset, column[:2])
    account._person = Person(accounts, names, frozenset(map(tuple, column[2])))
    return account._person  # type: ignore[no-any-return]


def person_of(account: Any) -> Person:
    """The person of an account, which carries it from the first look to the end of its request."""
    if hasattr(account, "_person"):
        return account._person  # type: ignore[no-any-return]
    assert account.pk
    with connection.cursor() as cursor:
        cursor.execute(NAMES, [[account.pk]])
        return carry_person(account, orjson.loads(cursor.fetchone()[0]))


def is_same_person(one: User, other: User) -> bool:
    """Whether two accounts are one person's, by whatever accounts between them."""
    return other.pk in find_accounts(one.pk)


def find_fits(claims: Collection[Claim]) -> dict[Claim, Fit]:
    """Find the account of each end user, where there is one. One query; none without claims."""
    if not claims:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(FITS, [list(column) for column in zip(*claims, strict=True)])
        return {
            (account, name): Fit(*orjson.loads(fit))
            for account, name, fit in cursor.fetchall()
            if fit
        }


def remember_end_users(calls: list[UUID]) -> None:
    """Write down the end users of newly sealed calls, so that people are found by them."""
    with connection.cursor() as cursor:
        cursor.execute(REMEMBER, [calls])
