from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0008_decision")]

    operations = [
        migrations.AddField(
            "process",
            "role",
            models.TextField(choices=[("web", "Web"), ("worker", "Worker")], db_default="web"),
        ),
    ]
