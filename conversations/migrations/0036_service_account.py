"""Whether an account is a program's is declared; proxy's next migration marks those in use."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0035_partial_channel")]
    operations = [
        migrations.AddField(
            "user",
            "is_service",
            models.BooleanField(
                "service account",
                default=False,
                db_default=False,
                help_text=(
                    "A program's account, with no person behind it: keys made for it work at "
                    "once, and it agrees to nothing as a second person. Chosen when the account "
                    "is made; it can be taken back, and not given later."
                ),
            ),
        ),
    ]
