"""Two database roles for reports, neither of which reads a table of the gateway's.

llm_report reads llm_logs.usage and no content, llm_content reads all views.
"""

import getpass
import logging
import os
import sys
from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.db import Error, connection, transaction
from psycopg import sql

from conversations.models import AuditEvent
from conversations.people import audit

VIEWS = {
    "llm_report": ["usage"],
    "llm_content": ["usage", "chatgpt_logs", "image_logs", "meta_summarizer_log", "messages"],
}
log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Creates or removes the roles llm_report (usage only) and llm_content (all views of"
        " llm_logs). There are none until you create them."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        action = parser.add_mutually_exclusive_group(required=True)
        action.add_argument(
            "--create",
            action="store_true",
            help="passwords from LLM_REPORT_PASSWORD and LLM_CONTENT_PASSWORD, or asked for;"
            " grants are renewed",
        )
        action.add_argument("--drop", action="store_true")

    def handle(self, *, create: bool, **options: object) -> None:
        passwords = {role: password_of(role) for role in VIEWS} if create else {}
        try:
            with transaction.atomic():
                for role in VIEWS:
                    if create:
                        self.create(role, passwords[role])
                    else:
                        self.drop(role)
                audit.record(
                    "manage.py report_roles",
                    AuditEvent.Action.ADDED if create else AuditEvent.Action.DELETED,
                    roles=sorted(VIEWS),
                )
        except Error as problem:
            raise CommandError(advice(problem)) from None
        log.warning(
            "the report roles %s were %s", " and ".join(VIEWS), "made" if create else "removed"
        )

    def create(self, role: str, password: str) -> None:
        if not exists(role):
            run(
                "CREATE ROLE {role}"
                " NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS",
                role,
            )
        if password:
            run(
                "ALTER ROLE {role} LOGIN PASSWORD {password}",
                role,
                password=sql.Literal(scrambled(password, role)),
            )
        # jit: the planner thinks a row of the views far dearer than it is.
        run("ALTER ROLE {role} SET default_transaction_read_only = on", role)
        run("ALTER ROLE {role} SET jit = off", role)
        run("REVOKE ALL ON ALL TABLES IN SCHEMA llm_logs FROM {role}", role)
        run("GRANT USAGE ON SCHEMA llm_logs TO {role}", role)
        for view in VIEWS[role]:
            run("GRANT SELECT ON llm_logs.{view} TO {role}", role, view=sql.Identifier(view))
        reads = ", ".join(f"llm_logs.{view}" for view in VIEWS[role])
        enters = (
            "signs in with its password"
            if can_sign_in(role)
            else f"cannot sign in: grant it to people's own roles (GRANT {role} TO …)"
        )
        self.stdout.write(f"{role} reads {reads}; it {enters}.")

    def drop(self, role: str) -> None:
        if exists(role):
            run("REVOKE ALL ON ALL TABLES IN SCHEMA llm_logs FROM {role}", role)
            run("REVOKE ALL ON SCHEMA llm_logs FROM {role}", role)
            run("DROP ROLE {role}", role)
            self.stdout.write(f"{role} is removed.")
        else:
            self.stdout.write(f"There is no {role}.")


def run(statement: str, role: str, **names: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(role=sql.Identifier(role), **names))  # type: ignore[arg-type]


def exists(role: str) -> bool:
    return can_sign_in(role) is not None


def can_sign_in(role: str) -> bool | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", [role])
        row = cursor.fetchone()
    return row[0] if row else None


def password_of(role: str) -> str:
    """The password to set; empty: the role keeps the one it has. Without one it cannot sign in."""
    name = f"{role.upper()}_PASSWORD"
    if name in os.environ or not sys.stdin.isatty():
        return os.environ.get(name, "")
    return getpass.getpass(f"Password of {role} (empty: none, or the one that it has): ")


def scrambled(password: str, role: str) -> str:
    """The password as PostgreSQL keeps it: in the clear it never travels, nor stands in a log."""
    connection.ensure_connection()
    return connection.connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()


def advice(problem: Error) -> str:
    state = getattr(problem.__cause__, "sqlstate", "")
    if state == "42501":
        return (
            "The gateway's own database role may not do this. Run the command with the DATABASE_URL"
            " of one that may: CREATEROLE, and owner of llm_logs."
        )
    if state == "2BP01":
        return (
            "A role still has rights elsewhere on this server. Take them away (in another gateway's"
            " database: with this command), then run it again."
        )
    if state == "3F000":
        return "There is no schema llm_logs yet. Run manage.py migrate first."
    return f"PostgreSQL refused: {type(problem).__name__} {state}."
