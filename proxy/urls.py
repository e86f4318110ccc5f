from django.urls import path

from . import images_page, keys, pages, user_token_page

urlpatterns = [
    path("", pages.chat, name="chat"),
    path("c/<uuid:root>/", pages.conversation, name="conversation"),
    path("c/<uuid:root>/live/<uuid:call>", pages.live, name="live"),
    path("c/<uuid:root>/again/", pages.again, name="again"),
    path("c/<uuid:root>/edit/<uuid:message>/", pages.edit, name="edit"),
    path("images/", images_page.images, name="images"),
    path("images/<uuid:call>/", images_page.image, name="image"),
    path("keys/", keys.keys, name="keys"),
    path("keys/<int:number>/revoke/", keys.revoke, name="revoke-key"),
    path("token/", user_token_page.token, name="token"),
]
