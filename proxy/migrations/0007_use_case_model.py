from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("proxy", "0006_gateway_admins")]
    operations = [
        migrations.AddField(
            "usecase",
            "model",
            models.CharField(
                blank=True,
                db_default="",
                help_text=(
                    "chosen along with it, where the person may use it; empty: the one that was "
                    "chosen before stays"
                ),
                max_length=200,
            ),
        ),
    ]
