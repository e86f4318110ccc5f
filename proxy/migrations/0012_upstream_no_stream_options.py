"""An upstream that refuses `stream_options`, which the gateway adds to count a stream's tokens."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0011_key_maker")]
    operations = [
        migrations.AddField(
            "upstream",
            "no_stream_options",
            models.BooleanField(
                db_default=False,
                default=False,
                help_text=(
                    "Do not ask this upstream to count the tokens of streams. For servers that "
                    "refuse stream_options; tokens are then estimated."
                ),
                verbose_name="leave out stream_options",
            ),
        )
    ]
