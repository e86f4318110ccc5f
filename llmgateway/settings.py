"""Every setting of the gateway, from the environment or .env. README.md says what each is for."""

from datetime import timedelta
from pathlib import Path

import environ
from django.utils.functional import SimpleLazyObject

from llmgateway import secret
from llmgateway.embedded import database
from proxy import credentials

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(env.str("ENV_FILE", default=str(BASE_DIR / ".env")))

# What the product does ----------------------------------------------------------------------------

DEMO = env.bool("DEMO", default=False)
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
VAR_DIR = Path(env.str("VAR_DIR", default="") or BASE_DIR / "var").resolve()
WEB_WORKERS = env.int("WEB_WORKERS", default=2)
OPEN_CALLS = env.int("OPEN_CALLS", default=500)  # calls that one web process holds open at a time
RESERVED_THREADS = env.int("RESERVED_THREADS", default=16)  # on top of them: pages, admin, health
GRACE = env.int("GRACE", default=30)  # seconds that a stop leaves to open streams

# Upstream, by the reference system's names
LLM_ENDPOINT = env.str("LLM_ENDPOINT", default="")
LLM_IMG_ENDPOINT = env.str("LLM_IMG_ENDPOINT", default="")
LLM_EMBEDDINGS_ENDPOINT = env.str("LLM_EMBEDDINGS_ENDPOINT", default="")
LLM_MODELS_ENDPOINT = env.str("LLM_MODELS_ENDPOINT", default="")
LLM_API_AUTHORIZATION = env.str("LLM_API_AUTHORIZATION", default="")
LLM_API_CONTENT_TYPE = env.str("LLM_API_CONTENT_TYPE", default="application/json")
# people may ask on the pages with a token of their own
ALLOW_USER_TOKENS = env.bool("ALLOW_USER_TOKENS", default=False)
TOKEN_URL = env.str("TOKEN_URL", default="")  # where they get one
LLM_LABEL = env.str("LLM_LABEL", default="OPEN_AI")  # the provider's name in records
LLM_TIMEOUT = env.float("LLM_TIMEOUT", default=300)  # seconds to the first byte
LLM_STREAM_TIMEOUT = env.float("LLM_STREAM_TIMEOUT", default=120)  # seconds of silence in a stream
LLM_LONGEST_CALL = env.float("LLM_LONGEST_CALL", default=3600)  # seconds, whatever it is doing
LLM_PROXY = env.str("LLM_PROXY", default="")
LLM_CA_BUNDLE = env.str("LLM_CA_BUNDLE", default="")
UPSTREAM_HTTP_HOSTS = env.list("UPSTREAM_HTTP_HOSTS", default=["localhost", "127.0.0.1", "::1"])
# what upstreams of the admin may use: by name, the hosts that may get it, and its value
UPSTREAM_SECRET_HOSTS = credentials.parse_bindings(env.list("UPSTREAM_SECRETS", default=[]))
UPSTREAM_SECRETS = {name: env.str(name, default="") for name in UPSTREAM_SECRET_HOSTS}
# seconds that one which keeps failing is passed over
UPSTREAM_PAUSE = env.float("UPSTREAM_PAUSE", default=10)
# to LLM_ENDPOINT, where models are listed in the admin
PASS_OTHER_MODELS = env.bool("PASS_OTHER_MODELS", default=False)
# seconds that a caller may take nothing of its answer
CLIENT_STALL = env.float("CLIENT_STALL", default=60)

CHAT_PAGES = env.bool("CHAT_PAGES", default=True)  # false: the API and the admin only
# another gateway, which the pages ask instead of LLM_ENDPOINT
LLM_GATEWAY_URL = env.str("LLM_GATEWAY_URL", default="")

TITLES = env.bool("TITLES", default=True)  # a model titles new conversations
TITLE_MODEL = env.str("TITLE_MODEL", default="")  # instead of the conversation's own
METADATA_CHECK = env.bool("METADATA_CHECK", default=DEMO)  # a model may assess conversations
METADATA_MODEL = env.str("METADATA_MODEL", default="")  # instead of the conversation's own
# percent of a day's conversations that are assessed the night after
METADATA_SAMPLE = env.float("METADATA_SAMPLE", default=0)
# conversations a night: each is a call that is paid for
METADATA_SAMPLE_MOST = env.int("METADATA_SAMPLE_MOST", default=100)

# Closed calls for a security vendor's API, by the reference system's names
ENABLE_SUBMISSIONS_API = env.bool("ENABLE_SUBMISSIONS_API", default=False)
SUBMISSIONS_API_URL = env.str("SUBMISSIONS_API_URL", default="")
SUBMISSIONS_API_AUTHORIZATION = env.str("SUBMISSIONS_API_AUTHORIZATION", default="")
SUBMISSIONS_HMAC_SECRET = env.str("SUBMISSIONS_HMAC_SECRET", default="")
SUBMISSIONS_STATUSES = env.list("SUBMISSIONS_STATUSES", default=[])  # besides ok
# the first seal, at the first switch-on; None: what comes from then on
SUBMISSIONS_FROM = env.int("SUBMISSIONS_FROM", default=None)
SUBMISSIONS_TIMEOUT = env.float("SUBMISSIONS_TIMEOUT", default=10)  # seconds of one try
# seconds after the first failed try; they double
SUBMISSIONS_PAUSE = env.float("SUBMISSIONS_PAUSE", default=2)
SUBMISSIONS_LONGEST_PAUSE = env.float("SUBMISSIONS_LONGEST_PAUSE", default=300)

# the company's own page, instead of the gateway's
USAGE_POLICY_URL = env.str("USAGE_POLICY_URL", default="")
USAGE_POLICY_CONTACT = env.str("USAGE_POLICY_CONTACT", default="")  # whom people ask about it

API_KEY_MAX_DAYS = env.int("API_KEY_MAX_DAYS", default=365)
# of one account, before its sign-in is paused
SIGN_IN_FAILURES = env.int("SIGN_IN_FAILURES", default=10)
SIGN_IN_ADDRESS_FAILURES = env.int("SIGN_IN_ADDRESS_FAILURES", default=100)  # from one address
SIGN_IN_PAUSE = env.int("SIGN_IN_PAUSE", default=15)  # minutes
LOG_FORMAT = env.str("LOG_FORMAT", default="plain")
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
# where a worker answers with its own; 0: nowhere
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", default=0)
# of a request, in MB: what is read, parsed and recorded of one call
MAX_BODY_MB = env.int("MAX_BODY_MB", default=20)
MAX_BODY = MAX_BODY_MB << 20  # bytes
MAX_REPLY = 64 * 1024 * 1024  # bytes of an upstream's reply, decompressed
MAX_MESSAGES = 4000

# The chain of seals is signed now and then, in a file that can be shipped away
# Made when it is first needed: an image that is built from here holds none.
CHECKPOINT_KEY = env.str("CHECKPOINT_KEY", default="") or SimpleLazyObject(
    lambda: secret.read_or_make(VAR_DIR / "checkpoint_key")
)
CHECKPOINT_FILE = Path(env.str("CHECKPOINT_FILE", default="") or VAR_DIR / "checkpoints.jsonl")

PSEUDONYMS = env.bool("PSEUDONYMS", default=False)  # reviewers see aliases instead of people
PSEUDONYM_KEY = env.str("PSEUDONYM_KEY", default="") or SimpleLazyObject(
    lambda: secret.read_or_make(VAR_DIR / "pseudonym_key")
)

# Django -------------------------------------------------------------------------------------------

SECRET_KEY = env.str("SECRET_KEY", default="") or secret.read_or_make(VAR_DIR / "secret_key")
DEBUG = False
ALLOWED_HOSTS = (
    ["localhost", "127.0.0.1", "[::1]"]
    if DEMO
    else env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# addresses whose X-Forwarded-* headers are believed
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
BEHIND_TLS = env.bool("BEHIND_TLS", default=False)

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

DATABASES = {"default": database.settings(env.str("DATABASE_URL", default=""), VAR_DIR)}
DATABASES["default"].setdefault("OPTIONS", {}).update(
    pool={"min_size": 1, "max_size": env.int("DB_POOL", default=10), "timeout": 5},
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
AXES_COOLOFF_TIME = timedelta(minutes=SIGN_IN_PAUSE)
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_LOCKOUT_PARAMETERS = ["username", "ip_address"]  # each by itself
AXES_LOCKOUT_CALLABLE = "llmgateway.sign_in.paused"
AXES_CLIENT_IP_CALLABLE = "llmgateway.sign_in.address"
AXES_USERNAME_CALLABLE = "llmgateway.sign_in.name"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "csrfmiddlewaretoken"]
AXES_DISABLE_ACCESS_LOG = True  # only failures are kept, and no longer than the pause
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "sign-in"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "llmgateway.errors.stale_form"
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY
FILE_UPLOAD_HANDLERS = ["conversations.body_limits.NoUpload"]  # a view that takes files says so

USE_I18N = False
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env.str("STATIC_ROOT", default="") or VAR_DIR / "static")
MEDIA_ROOT = env.str("ATTACHMENTS_DIR", default=str(VAR_DIR / "attachments"))
EXPORTS_DIR = Path(env.str("EXPORTS_DIR", default="") or VAR_DIR / "exports")
EXPORT_DAYS = env.int("EXPORT_DAYS", default=7)  # that an export's files are kept
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
            "formatter": "json" if LOG_FORMAT == "json" else "plain",
        }
    },
    "root": {"handlers": ["stderr"], "level": env.str("LOG_LEVEL", default="INFO")},
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
