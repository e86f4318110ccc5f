"""Every setting of the gateway, as Django knows them. llmgateway.configuration reads them.

Those of the schema stand here under their names: README.md says what each is for.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils.functional import SimpleLazyObject

from llmgateway import secret
from llmgateway.configuration import reading
from llmgateway.embedded import database
from proxy import credentials

VERSION = (0, 2, 0)  # pyproject.toml's
BASE_DIR = Path(__file__).resolve().parent.parent
READING = reading.read()
globals().update(READING.values)

# What the product does ----------------------------------------------------------------------------

# Those of the schema that others below follow from.
DEMO: bool = READING.values["DEMO"]
VAR_DIR: Path = READING.values["VAR_DIR"]
BEHIND_TLS: bool = READING.values["BEHIND_TLS"]
SIGN_IN_FAILURES: int = READING.values["SIGN_IN_FAILURES"]

# what upstreams of the admin may use: by name, its value, and the hosts that may get it
UPSTREAM_SECRETS = READING.upstream_secrets
UPSTREAM_SECRET_HOSTS = credentials.parse_bindings(READING.values["UPSTREAM_SECRETS"])
UNBOUND_SECRETS_PASS = VERSION < (0, 3)  # those with no hosts: a warning for one version

MAX_BODY = READING.values["MAX_BODY_MB"] << 20  # bytes of a request
MAX_REPLY = 64 * 1024 * 1024  # bytes of an upstream's reply, decompressed
MAX_MESSAGES = 4000

# The chain of seals is signed now and then, in a file that can be shipped away


def keep_key(name: str) -> Any:
    """Read a key that this machine keeps; one that is missing is made when something starts."""
    path = VAR_DIR / secret.KEPT[name]
    try:
        found = READING.values[name] or secret.read(path)
    except secret.NoSecret as problem:
        READING.refuse_folder("VAR_DIR", f"cannot keep the gateway's key: {problem}")
        found = secret.make()  # of this process alone, which starts nothing
    return found or SimpleLazyObject(lambda: secret.read_or_make(path))


CHECKPOINT_KEY = keep_key("CHECKPOINT_KEY")
PSEUDONYM_KEY = keep_key("PSEUDONYM_KEY")

# Django -------------------------------------------------------------------------------------------

try:
    SECRET_KEY = READING.values["SECRET_KEY"] or secret.read_or_make(VAR_DIR / "secret_key")
except secret.NoSecret as problem:
    SECRET_KEY = secret.make()
    READING.refuse_folder("VAR_DIR", f"cannot keep the gateway's key: {problem}")
DEBUG = False
INSTALLED_APPS = [
    "conversations",
    "proxy",
    "procrastinate.contrib.django",
    "llmgateway",
    "llmgateway.apps.DeskConfig",  # django.contrib.admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "llmgateway.apps.StaticConfig",  # django.contrib.staticfiles
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular_sidecar",
    "axes",
]
# The API's own paths pass the pages' middleware by: see llmgateway.middleware.
MIDDLEWARE = [
    "llmgateway.middleware.RequestMiddleware",
    "llmgateway.cors.CorsMiddleware",
    "llmgateway.body_limit.HoldBody",
    *(["llmgateway.demo.loopback.LoopbackOnly"] if DEMO else []),
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "llmgateway.middleware.SessionMiddleware",
    "llmgateway.middleware.CommonMiddleware",
    "llmgateway.middleware.CsrfViewMiddleware",
    "llmgateway.middleware.AuthenticationMiddleware",
    "llmgateway.middleware.MessageMiddleware",
    "proxy.user_token.Cookie",
    "llmgateway.middleware.XFrameOptionsMiddleware",
    "llmgateway.middleware.ViewersTimeZone",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "llmgateway.urls"
WSGI_APPLICATION = "llmgateway.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "conversations.reading.pages.shell",
                "proxy.user_token.shell",
                "llmgateway.theme.shown",
            ]
        },
    }
]

DATABASES = {"default": database.settings(READING.values["DATABASE_URL"], VAR_DIR)}
DATABASES["default"].setdefault("OPTIONS", {}).update(
    # The pool doubles its pauses between tries to connect. It begins anew before they are long:
    # a database that was away for minutes is found within seconds.
    pool={
        "min_size": 1,
        "max_size": READING.values["DB_POOL"],
        "timeout": 5,
        "reconnect_timeout": 4,
    },
    # conversations.record prepares its statements; plans for one parameter set fit all.
    prepare_threshold=5,
    options="-c plan_cache_mode=force_generic_plan",
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "conversations.User"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
# The first says no while sign-in is paused; llmgateway.sign_in says when that is.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_HANDLER = "llmgateway.sign_in.Throttle"
AXES_FAILURE_LIMIT = SIGN_IN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=READING.values["SIGN_IN_PAUSE"])
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], "username", "ip_address"]
AXES_LOCKOUT_CALLABLE = "llmgateway.sign_in.paused"
AXES_CLIENT_IP_CALLABLE = "llmgateway.sign_in.address"
AXES_USERNAME_CALLABLE = "llmgateway.sign_in.name"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True  # only failures are kept, and no longer than the pause
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_ENGINE = "llmgateway.sessions"
SESSION_COOKIE_AGE = READING.values["SESSION_HOURS"] * 60 * 60
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
if BEHIND_TLS:  # browsers take them from this host by https alone, from no other name of its domain
    SESSION_COOKIE_NAME = "__Host-sessionid"
    CSRF_COOKIE_NAME = "__Host-csrftoken"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "llmgateway.errors.stale_form"
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY
FILE_UPLOAD_HANDLERS = ["conversations.body_limits.NoUpload"]  # a view that takes files says so

USE_I18N = False
DATE_FORMAT, DATETIME_FORMAT = "Y-m-d", "Y-m-d H:i"  # of the admin's own columns
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = str(READING.values["ATTACHMENTS_DIR"])
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["proxy.api.authentication.GatewayKey"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["proxy.api.rest.AsJSON"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "proxy.api.rest.AlwaysJSON",
    "EXCEPTION_HANDLER": "proxy.api.errors.handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "llmgateway.ops.logs.Plain"},
        "json": {"()": "llmgateway.ops.logs.JSON"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": READING.values["LOG_FORMAT"],
        }
    },
    "root": {"handlers": ["stderr"], "level": READING.values["LOG_LEVEL"]},
    "loggers": {
        "django": {"handlers": [], "propagate": True},
        "django.server": {"handlers": [], "propagate": True},
        # its own handler would print what exceptions say
        "gunicorn.error": {
            "handlers": ["stderr"],
            "propagate": False,
        },
        # Their warnings quote addresses, hosts and reasons that an upstream wrote.
        "axes": {"level": "ERROR"},  # names and addresses
        "urllib3": {"level": "ERROR"},
        "psycopg.pool": {"level": "ERROR"},
        "procrastinate": {"level": "WARNING"},  # a line for each step of a job
    },
}
