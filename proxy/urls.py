from django.urls import include, path

from .pages import chat, images, user_token

urlpatterns = [
    path("", chat.chat, name="chat"),
    path("c/<uuid:root>/", chat.conversation, name="conversation"),
    path("c/<uuid:root>/live/<uuid:call>", chat.live, name="live"),
    path("c/<uuid:root>/again/", chat.again, name="again"),
    path("c/<uuid:root>/edit/<uuid:message>/", chat.edit, name="edit"),
    path("images/", images.images, name="images"),
    path("images/<uuid:call>/", images.image, name="image"),
    path("", include("proxy.urls_keys")),
    path("token/", user_token.token, name="token"),
]
