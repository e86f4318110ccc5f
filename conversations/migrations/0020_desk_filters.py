"""What the desk's lists are filtered by, in the order in which they are read."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0019_reviews_departments")]
    operations = [
        migrations.AddIndex("review", models.Index("state", "conversation", name="review_state")),
        migrations.AddIndex(
            "decision", models.Index("disposition", "conversation", name="decision_disposition")
        ),
        migrations.AddIndex("snapshot", models.Index("model", "id", name="snapshot_model")),
        migrations.AddIndex("snapshot", models.Index("upstream", "id", name="snapshot_upstream")),
    ]
