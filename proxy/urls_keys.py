"""A person's own API keys: there without the other pages too, as their owners accept keys here."""

from django.urls import path

from .pages import keys

urlpatterns = [
    path("keys/", keys.keys, name="keys"),
    path("keys/<int:number>/accept/", keys.accept, name="accept-key"),
    path("keys/<int:number>/revoke/", keys.revoke, name="revoke-key"),
]
