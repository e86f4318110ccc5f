"""Labels and help texts in plain English: state alone, no SQL."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0030_export"),
    ]

    operations = [
        migrations.AlterField(
            model_name="assessment",
            name="assistant_seconds_saved",
            field=models.FloatField(
                help_text="of a human assistant who could have done the work instead"
            ),
        ),
        migrations.AlterField(
            model_name="assessment",
            name="assistant_wage",
            field=models.FloatField(help_text="US dollars an hour for that assistant"),
        ),
        migrations.AlterField(
            model_name="assessment",
            name="call",
            field=models.OneToOneField(
                help_text="the call that requested it",
                on_delete=django.db.models.deletion.CASCADE,
                primary_key=True,
                related_name="assessment",
                serialize=False,
                to="conversations.snapshot",
            ),
        ),
        migrations.AlterField(
            model_name="assessment",
            name="newest",
            field=models.UUIDField(
                help_text="the newest call that it covers; later messages were not assessed",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="attachment",
            name="media_type",
            field=models.TextField(
                help_text="as the sender declared it; never sent to a browser unchecked"
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="actor",
            field=models.ForeignKey(
                db_index=False,
                help_text="empty for a command, or for an unknown account",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="actor_name",
            field=models.TextField(help_text="the name at that time"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="conversation",
            field=models.UUIDField(
                help_text="the conversation that the object is, or belongs to", null=True
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="detail",
            field=models.TextField(
                db_default="{}",
                help_text="JSON of filters, counts and reasons; never the text of messages",
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="kind",
            field=models.TextField(
                db_default="", help_text="the kind of object: conversation, snapshot, user …"
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="subject",
            field=models.TextField(db_default="", help_text="the id of that object"),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="terms",
            field=models.TextField(
                db_default="", help_text="the search words, which may quote messages"
            ),
        ),
        migrations.AlterField(
            model_name="conversation",
            name="shown",
            field=models.BooleanField(
                db_default=True, help_text="off hides it from the owner's history; the record stays"
            ),
        ),
        migrations.AlterField(
            model_name="conversation",
            name="turns",
            field=models.IntegerField(db_default=0, help_text="number of relayed replies"),
        ),
        migrations.AlterField(
            model_name="decision",
            name="newest",
            field=models.UUIDField(
                help_text="the newest call that it covers; later messages have not been reviewed"
            ),
        ),
        migrations.AlterField(
            model_name="export",
            name="cleared",
            field=models.DateTimeField(help_text="when its files were deleted", null=True),
        ),
        migrations.AlterField(
            model_name="export",
            name="departments",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=150),
                default=list,
                help_text="departments that the owner was limited to at that time",
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="export",
            name="files",
            field=models.JSONField(
                default=list,
                help_text="name, bytes and rows of each file, and its sha256 once it is complete",
            ),
        ),
        migrations.AlterField(
            model_name="export",
            name="query",
            field=models.TextField(
                help_text="JSON of the filter's fields, with their dates written out"
            ),
        ),
        migrations.AlterField(
            model_name="export",
            name="seen",
            field=models.DateTimeField(
                default=django.utils.timezone.now, help_text="when a worker last worked on it"
            ),
        ),
        migrations.AlterField(
            model_name="export",
            name="taken",
            field=models.BigIntegerField(
                default=0, help_text="number of rows that are safely in the files"
            ),
        ),
        migrations.AlterField(
            model_name="export",
            name="total",
            field=models.BigIntegerField(help_text="number of chosen rows", null=True),
        ),
        migrations.AlterField(
            model_name="export",
            name="zone",
            field=models.TextField(help_text="time zone of the filter's dates"),
        ),
        migrations.AlterField(
            model_name="review",
            name="decision",
            field=models.ForeignKey(
                db_index=False,
                help_text="the latest decision",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="conversations.decision",
            ),
        ),
        migrations.AlterField(
            model_name="review",
            name="lease",
            field=models.DateTimeField(
                help_text="when the claim ends; empty for an assignment, which does not end",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="review",
            name="policy",
            field=models.ForeignKey(
                db_index=False,
                help_text="the sampling policy that drew it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="conversations.samplingpolicy",
            ),
        ),
        migrations.AlterField(
            model_name="review",
            name="source",
            field=models.TextField(
                choices=[
                    ("sampled", "drawn"),
                    ("chosen", "chosen by a reviewer"),
                    ("assigned", "assigned"),
                    ("reopened", "continued after a decision"),
                    ("escalated", "escalated"),
                ]
            ),
        ),
        migrations.AlterField(
            model_name="samplingpolicy",
            name="department",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="department of the owner; leave empty for all departments",
                max_length=150,
            ),
        ),
        migrations.AlterField(
            model_name="samplingpolicy",
            name="model",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="model of the first answer; leave empty for all models",
                max_length=200,
            ),
        ),
        migrations.AlterField(
            model_name="samplingpolicy",
            name="percent",
            field=models.DecimalField(
                decimal_places=2, help_text="percentage of new conversations", max_digits=5
            ),
        ),
        migrations.AlterField(
            model_name="samplingpolicy",
            name="seed",
            field=models.BinaryField(
                help_text="the draw is HMAC(seed, root id), so the seed can repeat it",
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="seal",
            name="kind",
            field=models.TextField(
                help_text="kind of the sealed row: snapshot, decision, auditevent"
            ),
        ),
        migrations.AlterField(
            model_name="searchentry",
            name="call",
            field=models.UUIDField(
                help_text="the call that brought the message; empty for seconds, where an "
                "older worker wrote the row",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="about",
            field=models.ForeignKey(
                db_index=False,
                help_text="the conversation that this call titles or assesses",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="calls_about",
                to="conversations.conversation",
            ),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="attempts",
            field=models.TextField(
                db_default="", help_text="JSON of the attempts, where the first one failed"
            ),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="classic",
            field=models.TextField(
                help_text="JSON of what that row held and this one has no column for", null=True
            ),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="end_user",
            field=models.TextField(
                db_default="", help_text="the person for whom a shared key called"
            ),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="estimated",
            field=models.BooleanField(
                db_default=False,
                help_text="the gateway counted the tokens, as the upstream did not",
            ),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="params",
            field=models.TextField(help_text="JSON of the request without its messages"),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="stop",
            field=models.BooleanField(db_default=False, help_text="a reader pressed Stop"),
        ),
        migrations.AlterField(
            model_name="snapshot",
            name="use_case",
            field=models.TextField(
                db_default="",
                help_text="name of the chosen use case at that time; its system prompt is the "
                "preamble",
            ),
        ),
        migrations.AlterField(
            model_name="user",
            name="reviews_departments",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=150),
                blank=True,
                db_default=[],
                default=list,
                help_text="One department per line. A reviewer reads only the conversations of "
                "people in these departments; leave empty for all.",
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="verification",
            name="problem",
            field=models.TextField(
                blank=True, help_text="the first problem; empty where there is none"
            ),
        ),
        migrations.AlterField(
            model_name="verification",
            name="seals",
            field=models.BigIntegerField(help_text="number of seals that were verified"),
        ),
    ]
