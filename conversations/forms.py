"""What people may change of their own conversations."""

from django import forms


class RenameForm(forms.Form):
    title = forms.CharField(max_length=200, error_messages={"required": "Give the conversation a title."})
