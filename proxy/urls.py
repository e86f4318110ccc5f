from django.urls import path

from .pages import chat, images, keys, user_token

urlpatterns = [
    path("", chat.chat, name="chat"),
    path("c/<uuid:root>/", chat.conversation, name="conversation"),
    path("c/<uuid:root>/live/<uuid:call>", chat.live, name="live"),
    path("c/<uuid:root>/again/", chat.again, name="again"),
    path("c/<uuid:root>/edit/<uuid:message>/", chat.edit, name="edit"),
    path("images/", images.images, name="images"),
    path("images/<uuid:call>/", images.image, name="image"),
    path("keys/", keys.keys, name="keys"),
    path("keys/<int:number>/accept/", keys.accept, name="accept-key"),
    path("keys/<int:number>/revoke/", keys.revoke, name="revoke-key"),
    path("token/", user_token.token, name="token"),
]
