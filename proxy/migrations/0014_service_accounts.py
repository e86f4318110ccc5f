"""Accounts that were taken for programs' and own keys are declared service accounts.

They were known by what they lacked: a password, a sign-in, an id of the directory. Accounts that
lack these and own no key (people of an import) are not declared.
"""

from django.db import migrations

DECLARE = """
    UPDATE conversations_user AS account
    SET is_service = true
    WHERE (password = '' OR password LIKE '!%') AND last_login IS NULL AND external_id = ''
        AND EXISTS (SELECT FROM proxy_apikey AS key WHERE key.owner_id = account.id)"""


class Migration(migrations.Migration):
    dependencies = [("proxy", "0013_wrong_keys"), ("conversations", "0036_service_account")]
    operations = [migrations.RunSQL(DECLARE, migrations.RunSQL.noop)]
