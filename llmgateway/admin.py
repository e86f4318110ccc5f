"""The admin shows the record and who may do what. Jobs are the worker's own affair: `manage.py doctor` counts those that failed."""

from django.contrib import admin
from procrastinate.contrib.django.models import ProcrastinateJob

admin.site.unregister(ProcrastinateJob)
