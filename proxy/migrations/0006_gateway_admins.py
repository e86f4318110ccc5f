"""Gateway admins set and watch what this app has, and still read nothing that was said."""

from django.db import migrations

RIGHTS = {
    "apikey": ("view", "add", "change"),
    "usecase": ("view", "add", "change", "delete"),
    "upstream": ("view", "add", "change", "delete"),
    "model": ("view", "add", "change", "delete"),
    "submission": ("view", "change"),
}


def give(apps, schema_editor):
    ContentType, Permission = (
        apps.get_model("contenttypes", "ContentType"),
        apps.get_model("auth", "Permission"),
    )
    group, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Gateway admin")
    for model, actions in RIGHTS.items():
        kind, _ = ContentType.objects.get_or_create(app_label="proxy", model=model)
        for action in actions:
            said = {"name": f"Can {action} {apps.get_model('proxy', model)._meta.verbose_name}"}
            group.permissions.add(
                Permission.objects.get_or_create(
                    content_type=kind, codename=f"{action}_{model}", defaults=said
                )[0]
            )


class Migration(migrations.Migration):
    dependencies = [("proxy", "0005_upstreams"), ("conversations", "0013_groups")]
    operations = [migrations.RunPython(give, migrations.RunPython.noop)]
