"""The groups of the review desk, and what each may.

A company gives its people to them; only Reviewer and Lead see content.
"""

from django.db import migrations

RIGHTS = {
    "view_content": "Can read what was said",
    "export_content": "Can export what was said",
    "decide": "Can decide about conversations",
    "lead": "Can assign, sample and decide in bulk",
    "reveal_identity": "Can reveal who is behind an alias",
    "view_usage_by_user": "Can see usage by person",
    "view_assessments": "Can see assessments of one conversation",
}
REVIEWING = [
    "conversation.view_content",
    "conversation.export_content",
    "conversation.decide",
    "conversation.reveal_identity",
    "usage.view_usage",
]
LEADING = [
    "conversation.lead",
    "conversation.view_usage_by_user",
    "conversation.view_assessments",
    "auditevent.view_audit",
]
GROUPS = {
    "Reviewer": REVIEWING,
    "Lead": ["conversation.view_conversation", "snapshot.view_snapshot", *REVIEWING, *LEADING],
    "Auditor": ["auditevent.view_audit", "usage.view_usage"],
    "Records manager": ["usage.view_usage"],
    "Gateway admin": [
        "usage.view_usage",
        *(f"usagepolicy.{action}_usagepolicy" for action in ("view", "add", "change")),
    ],
}


def make(apps, schema_editor):
    ContentType, Permission, Group = (
        apps.get_model("contenttypes", "ContentType"),
        apps.get_model("auth", "Permission"),
        apps.get_model("auth", "Group"),
    )
    for name, rights in GROUPS.items():
        group, _ = Group.objects.get_or_create(name=name)
        for right in rights:
            model, codename = right.split(".")
            kind, _ = ContentType.objects.get_or_create(app_label="conversations", model=model)
            said = {"name": RIGHTS.get(codename, codename.replace("_", " ").capitalize())}
            group.permissions.add(
                Permission.objects.get_or_create(
                    content_type=kind, codename=codename, defaults=said
                )[0]
            )


def remove(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS.keys() - {"Reviewer"}).delete()


class Migration(migrations.Migration):
    dependencies = [("conversations", "0012_snapshot_use_case")]
    operations = [
        migrations.AlterModelOptions("conversation", {"permissions": list(RIGHTS.items())}),
        migrations.RunPython(make, remove),
    ]
