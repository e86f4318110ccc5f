"""The admin shows the record and who may do what, and no jobs.

Those are the worker's own affair: `manage.py doctor` counts the ones that failed.
"""

from django.contrib import admin
from procrastinate.contrib.django.models import ProcrastinateJob

admin.site.unregister(ProcrastinateJob)
