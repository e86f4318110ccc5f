"""The group that reads the log. Groups, not superuser, give the rights to content."""

from django.db import migrations

RIGHTS = {
    "conversation": ["view_content", "export_content", "view_conversation"],
    "snapshot": ["view_snapshot"],
}


def make(apps, schema_editor):
    ContentType, Permission, Group = (
        apps.get_model("contenttypes", "ContentType"),
        apps.get_model("auth", "Permission"),
        apps.get_model("auth", "Group"),
    )
    group, _ = Group.objects.get_or_create(name="Reviewer")
    for model, codenames in RIGHTS.items():
        # Django makes content types and permissions only after all migrations: these are the
        # ones that it would make.
        kind, _ = ContentType.objects.get_or_create(app_label="conversations", model=model)
        for codename in codenames:
            permission, _ = Permission.objects.get_or_create(
                content_type=kind,
                codename=codename,
                defaults={"name": codename.replace("_", " ").capitalize()},
            )
            group.permissions.add(permission)


def remove(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name="Reviewer").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0002_partial_unlogged"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [migrations.RunPython(make, remove)]
