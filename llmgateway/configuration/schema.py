"""Every setting of the gateway: its name, kind, default, words and group.

A new setting is one row here: `llmgateway.settings` has it under its name, README.md's table and
.env.example are made from it (`manage.py settings --write`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmgateway.configuration import kinds
from llmgateway.configuration.kinds import Kind

BASE_DIR = Path(__file__).resolve().parents[2]
DAY = 24 * 60 * 60  # seconds
WEEK = 7 * DAY
SOONEST = 0.001  # seconds: no time at all would be a call that never succeeds
PORTS = 1, 65535
MANY = 1_000_000
ON, OFF = True, False


class Computed:
    """A default that follows from the settings above it; `words` say so in the table."""

    def __init__(self, words: str, compute: Callable[[Mapping[str, Any]], Any]) -> None:
        self.words = words
        self.compute = compute


def under_var(name: str) -> Computed:
    return Computed(f"`{name}` in `VAR_DIR`", lambda values: values["VAR_DIR"] / name)


# A secret that the gateway makes for itself: llmgateway.settings reads or makes it.
MADE_ONCE = Computed("made once, in `VAR_DIR`", lambda values: "")


@dataclass(frozen=True)
class Setting:
    """One row. `words` are Markdown; `example` stands in .env.example where no default can.

    A `secret` is shown nowhere, and may be read from the file that NAME_FILE names.
    """

    name: str
    kind: Kind
    default: Any
    words: str
    secret: bool = False
    example: str = ""


HTTP = kinds.web_address("https", "http")
HTTPS = kinds.web_address("https")
SECONDS = kinds.number(SOONEST, WEEK)
PAUSE = kinds.number(0, WEEK)  # seconds; none at all is one too
LOCAL = ["localhost", "127.0.0.1", "::1"]
LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"]
ENDINGS = ("ok", "refused", "failed", "cancelled", "interrupted")  # statuses of a closed call
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

UPSTREAM = (
    Setting(
        "LLM_ENDPOINT",
        HTTP,
        "",
        "The whole address of the upstream's chat completions. Required outside the demo",
        example="https://api.openai.com/v1/chat/completions",
    ),
    Setting(
        "LLM_API_AUTHORIZATION",
        kinds.HEADER,
        "",
        "The whole `Authorization` header sent to the upstream, such as `Bearer` and a key; "
        "`none` where it wants none",
        secret=True,
        example="Bearer sk-0123456789",
    ),
    Setting(
        "LLM_IMG_ENDPOINT",
        HTTP,
        "",
        "The address of image generations. Without it, derived from `LLM_ENDPOINT`",
        example="https://api.openai.com/v1/images/generations",
    ),
    Setting(
        "LLM_EMBEDDINGS_ENDPOINT",
        HTTP,
        "",
        "The address of embeddings. Without it, derived from `LLM_ENDPOINT`",
        example="https://api.openai.com/v1/embeddings",
    ),
    Setting(
        "LLM_MODELS_ENDPOINT",
        HTTP,
        "",
        "The address of the list of models. Without it, derived from `LLM_ENDPOINT`",
        example="https://api.openai.com/v1/models",
    ),
    Setting(
        "LLM_GATEWAY_URL",
        HTTP,
        "",
        "Another gateway, which the chat pages ask instead of `LLM_ENDPOINT`: the whole address "
        "of its chat completions, or a classic gateway's base",
        example="https://gateway.example/v1/chat/completions",
    ),
    Setting(
        "CHAT_PAGES",
        kinds.BOOLEAN,
        ON,
        "`false`: no chat pages, only the API, its description at `/api/docs/`, `/keys/`, "
        "and the admin",
    ),
    Setting(
        "ALLOW_USER_TOKENS",
        kinds.BOOLEAN,
        OFF,
        "`true`: on the pages people may ask with a token of their own. It stays in a sealed "
        "cookie until they sign out, is written nowhere, and goes to `LLM_ENDPOINT`'s origin "
        "alone. Who has pasted none asks with `LLM_API_AUTHORIZATION`, or is told to paste one",
    ),
    Setting(
        "TOKEN_URL",
        HTTPS,
        "",
        "Where people get such a token: a link beside the field",
        example="https://models.example/tokens",
    ),
    Setting(
        "LLM_API_CONTENT_TYPE",
        kinds.HEADER,
        "application/json",
        "The content type of JSON calls to the upstream",
    ),
    Setting("LLM_LABEL", kinds.TEXT, "OPEN_AI", "The provider's name in the record"),
    Setting("LLM_TIMEOUT", SECONDS, 300, "Seconds to wait for the upstream's first byte"),
    Setting(
        "LLM_STREAM_TIMEOUT",
        SECONDS,
        120,
        "Seconds of silence after which a stream is given up",
    ),
    Setting("LLM_LONGEST_CALL", SECONDS, 3600, "Seconds after which any call is given up"),
    Setting(
        "LLM_PROXY",
        HTTP,
        "",
        "A proxy for calls to the upstream; the environment's own proxy variables are not used",
        secret=True,
        example="http://proxy.example:3128",
    ),
    Setting(
        "LLM_CA_BUNDLE",
        kinds.PRESENT_FILE,
        "",
        "A PEM file of the certificates that the upstream may be signed by",
        example="/etc/ssl/certs/ca-certificates.crt",
    ),
    Setting(
        "UPSTREAM_HTTP_HOSTS",
        kinds.HOSTS,
        LOCAL,
        "Hosts that may be called by plain http; everything else is https",
    ),
    Setting(
        "UPSTREAM_SECRETS",
        kinds.CREDENTIALS,
        [],
        "Names of environment variables that hold credentials, which upstreams made in the admin "
        "may use, each with the hosts that may get it: "
        r"`KEY_OF_AZURE@*.openai.azure.com,KEY_OF_VLLM@vllm-1.example:8000\|vllm-2.example`. "
        "A name without hosts goes anywhere: a warning now, an error from 0.3 on",
        example="KEY_OF_AZURE@*.openai.azure.com",
    ),
    Setting(
        "UPSTREAM_PAUSE",
        PAUSE,
        10,
        "Seconds that an upstream which failed five times in a row is passed over, where a model "
        "has another",
    ),
    Setting(
        "PASS_OTHER_MODELS",
        kinds.BOOLEAN,
        OFF,
        "Where models are listed in the admin: whether other names still pass to `LLM_ENDPOINT`",
    ),
)

ADDRESS = (
    Setting("HOST", kinds.LISTENER, "127.0.0.1", "The address to listen on"),
    Setting("PORT", kinds.whole(*PORTS), 8000, "The port to listen on"),
    Setting(
        "ALLOWED_HOSTS", kinds.SERVED_HOSTS, LOCAL_NAMES, "The names that the gateway is reached by"
    ),
    Setting(
        "CSRF_TRUSTED_ORIGINS",
        kinds.ORIGINS,
        [],
        "Origins of forms behind a TLS proxy, each by name, such as `https://gateway.example`",
        example="https://gateway.example",
    ),
    Setting(
        "CORS_ORIGINS",
        kinds.ORIGINS,
        [],
        "Origins of pages whose scripts may call the API from a browser, with a key and without "
        "cookies: `https://tool.example`. None, unless set",
        example="https://tool.example",
    ),
    Setting(
        "TRUSTED_PROXIES",
        kinds.NETWORKS,
        [],
        "Addresses or networks of proxies whose `X-Forwarded-*` headers are believed, such as "
        "`192.0.2.1,10.0.0.0/8`",
        example="192.0.2.1,10.0.0.0/8",
    ),
    Setting(
        "BEHIND_TLS",
        kinds.BOOLEAN,
        OFF,
        "Whether people reach the gateway by https: secure cookies and HSTS",
    ),
)

STORAGE = (
    Setting(
        "DATABASE_URL",
        kinds.DATABASE,
        "",
        "`postgresql://user:password@host:5432/name`. Without it, an embedded PostgreSQL under "
        "`VAR_DIR`",
        secret=True,
        example="postgresql://user:password@localhost:5432/llmgateway",
    ),
    Setting(
        "VAR_DIR",
        kinds.FOLDER,
        Computed("`var`", lambda values: BASE_DIR / "var"),
        "Where the gateway keeps what is its own: the embedded database, attachments, secrets, "
        "static files",
        example="var",
    ),
    Setting(
        "ATTACHMENTS_DIR",
        kinds.FOLDER,
        under_var("attachments"),
        "Where images and other large parts are kept",
        example="var/attachments",
    ),
    Setting(
        "EXPORTS_DIR",
        kinds.FOLDER,
        under_var("exports"),
        "Where the files of exports lie until they expire. Several machines share it",
        example="var/exports",
    ),
    Setting("EXPORT_DAYS", kinds.whole(1, MANY), 7, "Days that the files of an export are kept"),
    Setting(
        "STATIC_ROOT",
        kinds.FOLDER,
        Computed(
            "`static` in `VAR_DIR`, collected at each start",
            lambda values: values["VAR_DIR"] / "static",
        ),
        "A folder where static files are collected already, as the Docker image has one",
        example="/srv/static",
    ),
    Setting(
        "SECRET_KEY",
        kinds.KEY,
        MADE_ONCE,
        "Signs sessions, and seals people's own tokens. Several machines need the same one",
        secret=True,
    ),
    Setting(
        "CHECKPOINT_KEY",
        kinds.KEY,
        MADE_ONCE,
        "A long random text: the key that signs checkpoints of the record is made from it. "
        "Several machines need the same one",
        secret=True,
    ),
    Setting(
        "CHECKPOINT_FILE",
        kinds.FILE,
        under_var("checkpoints.jsonl"),
        "Where those are appended. [Ship it away](docs/operations.md#is-the-record-whole)",
        example="var/checkpoints.jsonl",
    ),
    Setting(
        "VERIFY_HOURS",
        kinds.whole(0, 24),
        24,
        "How often the worker checks the record: "
        "[is it whole?](docs/operations.md#is-the-record-whole) `0`: never, something else does",
    ),
    Setting(
        "VERIFY_CHECKPOINTS",
        kinds.FILE,
        "",
        "The copy of the checkpoints that was shipped away, as this machine can read it: that is "
        "what the worker's checks are held against. Without it, `CHECKPOINT_FILE`, which proves "
        "less",
        example="/mnt/archive/checkpoints.jsonl",
    ),
    Setting(
        "VERIFY_KEYS",
        kinds.PUBLIC_KEYS,
        [],
        "The public keys of the checkpoints that were handed out, older ones too: the worker's "
        "checks trust these and no others. Without them, this machine's own",
        example="00" * 32,
    ),
    Setting(
        "CHECKPOINT_URL",
        HTTP,
        "",
        "An address that receives each of them too, as a signed note: "
        "[how](docs/operations.md#checkpoints-that-leave)",
        example="https://archive.example/checkpoints",
    ),
    Setting(
        "CHECKPOINT_AUTHORIZATION",
        kinds.HEADER,
        "",
        "The whole `Authorization` header sent to it",
        secret=True,
        example="Bearer 0123456789",
    ),
    Setting(
        "PSEUDONYMS",
        kinds.BOOLEAN,
        OFF,
        "`true`: reviewers see aliases instead of people, and reveal one with a reason: "
        "[how](docs/review-desk.md#aliases-instead-of-people)",
    ),
    Setting(
        "PSEUDONYM_KEY",
        kinds.KEY,
        MADE_ONCE,
        "A long random text that aliases are made from. Several machines need the same one; "
        "another one gives everybody another alias",
        secret=True,
    ),
)

LIMITS = (
    Setting("WEB_WORKERS", kinds.whole(1, 1000), 2, "Web processes"),
    Setting(
        "OPEN_CALLS",
        kinds.whole(1, 100_000),
        500,
        "Times `WEB_WORKERS`: calls that the machine holds open, whichever process has them; "
        "beyond them 503 with `retry-after`. Once two thirds are taken, so is an account answered "
        "that has more than a third",
    ),
    Setting(
        "CONNECTIONS_PER_ADDRESS",
        kinds.whole(1, MANY),
        Computed(
            "100 and twice the machine's calls",
            lambda values: 2 * values["OPEN_CALLS"] * values["WEB_WORKERS"] + 100,
        ),
        "Connections that a web process takes from one address, those of `TRUSTED_PROXIES` apart; "
        "a new one takes the place of the oldest that has no call",
        example="2100",
    ),
    Setting(
        "RESERVED_THREADS",
        kinds.whole(1, 10_000),
        16,
        "Threads of a web process that no call takes: pages, admin, health",
    ),
    Setting(
        "MAX_BODY_MB",
        kinds.whole(1, 1024),
        20,
        "The largest body of an API call or a question, in MB; more for audio and files. "
        "A proxy in front wants the same",
    ),
    Setting(
        "DB_POOL",
        kinds.whole(1, 10_000),
        10,
        "Database connections that each process keeps at most",
    ),
    Setting("GRACE", kinds.whole(0, DAY), 30, "Seconds that a stop leaves to open calls"),
    Setting("CLIENT_STALL", SECONDS, 60, "Seconds that a caller may take nothing of its answer"),
)

PEOPLE = (
    Setting(
        "API_KEY_MAX_DAYS", kinds.whole(1, 36_500), 365, "Days that a gateway API key lives at most"
    ),
    Setting(
        "SECOND_LINE_PERCENT",
        kinds.number(0, 100),
        0.0,
        "Percentage of decisions that a second reviewer makes, too, drawn by chance: "
        "[how](docs/review-desk.md#the-reviewers-report)",
    ),
    Setting(
        "APPROVAL_DELAY_HOURS",
        kinds.whole(1, 10_000),
        24,
        "Hours after which what a second person has to agree to acts without one, where only one "
        "person holds the right. It is named on the admin's home page until then",
    ),
    Setting(
        "SIGN_IN_FAILURES",
        kinds.whole(1, MANY),
        10,
        "Failed sign-ins of one account, known or not, from one address, after which it is paused "
        "there. `manage.py axes_reset_username NAME` ends the pause",
    ),
    Setting(
        "SIGN_IN_ACCOUNT_FAILURES",
        kinds.whole(1, MANY),
        100,
        "The same of one account from all addresses together, after which each address has three "
        "tries left: slow for who guesses, and no lock for the owner",
    ),
    Setting(
        "SIGN_IN_ADDRESS_FAILURES",
        kinds.whole(1, MANY),
        100,
        "Failed sign-ins from one address, of whatever accounts; behind a proxy, name it in "
        "`TRUSTED_PROXIES`",
    ),
    Setting(
        "WRONG_KEYS_PER_ADDRESS",
        kinds.whole(1, MANY),
        100,
        "Wrong API keys from one address in an hour, after which further wrong ones are answered "
        "429 until it is over; right ones always pass",
    ),
    Setting("SIGN_IN_PAUSE", kinds.whole(1, 7 * 24 * 60), 15, "Minutes that such a pause lasts"),
    Setting(
        "SESSION_IDLE",
        kinds.whole(1, WEEK // 60 * 8),
        8 * 60,
        "Minutes without use after which a person has to sign in again. The default lasts over a "
        "lunch and a meeting, and not over a night",
    ),
    Setting(
        "SESSION_HOURS",
        kinds.whole(1, 8 * 7 * 24),
        7 * 24,
        "Hours after which a person has to sign in again, however the session is used. The "
        "default is once a week",
    ),
    Setting(
        "USAGE_POLICY_URL",
        HTTP,
        "",
        "The company's own page about the use of language models. It replaces the gateway's "
        "page, and nobody is asked to accept",
        example="https://intranet.example/models",
    ),
    Setting(
        "USAGE_POLICY_CONTACT",
        kinds.TEXT,
        "",
        "Whom people ask about the policy and what is kept, such as `compliance@example.com`",
        example="compliance@example.com",
    ),
)

CONVERSATIONS = (
    Setting(
        "TITLES",
        kinds.BOOLEAN,
        ON,
        "`false`: conversations begun on pages keep their first words as a title, and no model "
        "is asked for a better one",
    ),
    Setting(
        "TITLE_MODEL",
        kinds.TEXT,
        Computed("the conversation's own", lambda values: ""),
        "The model that writes titles. It has to take `temperature` 0",
        example="gpt-4o-mini",
    ),
    Setting(
        "METADATA_CHECK",
        kinds.BOOLEAN,
        Computed("`false`; in the demo `true`", lambda values: values["DEMO"]),
        "`true`: a model may [assess conversations](docs/review-desk.md#assessments): their "
        "owners' by `/api/metadata_check`, Leads' by a button, and a nightly sample",
        example="false",
    ),
    Setting(
        "METADATA_MODEL",
        kinds.TEXT,
        Computed("the conversation's own", lambda values: ""),
        "The model that assesses. It has to take `temperature` 0",
        example="gpt-4o-mini",
    ),
    Setting(
        "METADATA_SAMPLE",
        kinds.number(0, 100),
        0,
        "Percent of a day's conversations that are assessed the night after",
    ),
    Setting(
        "METADATA_SAMPLE_MOST",
        kinds.whole(0, MANY),
        100,
        "How many a night at most: each is a call that is paid for",
    ),
)

SUBMISSIONS = (
    Setting(
        "ENABLE_SUBMISSIONS_API",
        kinds.BOOLEAN,
        OFF,
        "Sends closed chat and image calls to a security vendor's API: "
        "[how](docs/operations.md#submissions)",
    ),
    Setting(
        "SUBMISSIONS_API_URL",
        HTTP,
        "",
        "Its address. Required with `ENABLE_SUBMISSIONS_API`",
        example="https://vendor.example/submissions",
    ),
    Setting(
        "SUBMISSIONS_API_AUTHORIZATION",
        kinds.HEADER,
        "",
        "The whole `Authorization` header sent to it",
        secret=True,
        example="Bearer 0123456789",
    ),
    Setting("SUBMISSIONS_HMAC_SECRET", kinds.KEY, "", "Signs what is sent", secret=True),
    Setting(
        "SUBMISSIONS_STATUSES",
        kinds.choices(*ENDINGS),
        [],
        "Endings that are sent besides `ok`: `refused,failed,cancelled,interrupted` or some of "
        "them",
        example="refused,failed,cancelled,interrupted",
    ),
    Setting(
        "SUBMISSIONS_FROM",
        kinds.whole(1, 10**15),
        Computed("what comes from then on", lambda values: None),
        "The number of the first seal to send, read at the first switch-on alone; `1`: all that "
        "was ever recorded",
        example="1",
    ),
    Setting("SUBMISSIONS_TIMEOUT", SECONDS, 10, "Seconds of one try"),
    Setting(
        "SUBMISSIONS_PAUSE",
        PAUSE,
        2,
        "Seconds after the first failed try of a call; each further pause is twice as long",
    ),
    Setting("SUBMISSIONS_LONGEST_PAUSE", PAUSE, 300, "Seconds of the longest"),
)

NOTICES = (
    Setting(
        "NOTICE_URL",
        HTTP,
        "",
        "A webhook that is told of assigned, escalated and overdue reviews, of questions to "
        "reviewers, of rights that an account gave itself and of a record that is not whole: "
        "[how](docs/operations.md#notices)",
        example="https://alerts.example/llm-gateway",
    ),
    Setting(
        "NOTICE_SECRET",
        kinds.KEY,
        "",
        "Signs what is sent there. Required with `NOTICE_URL`",
        secret=True,
        example="a-long-random-text-0123456789",
    ),
    Setting(
        "NOTICE_MAIL",
        kinds.web_address("smtps", "smtp"),
        "",
        "The mail server by which people are told the same, with its account: "
        "`smtps://name:password@host:465`, or `smtp://` with STARTTLS",
        secret=True,
        example="smtps://gateway:0123456789@mail.example:465",
    ),
    Setting(
        "NOTICE_FROM",
        kinds.TEXT,
        "",
        "The sender of these mails. Required with `NOTICE_MAIL`",
        example="llm-gateway@example.com",
    ),
    Setting(
        "PUBLIC_URL",
        HTTP,
        "",
        "Where people reach the gateway, for links in notices",
        example="https://gateway.example",
    ),
)

OPERATION = (
    Setting("LOG_LEVEL", kinds.choice(*LEVELS), "INFO", "Of the processes' log on standard error"),
    Setting(
        "LOG_FORMAT",
        kinds.choice("plain", "json"),
        "plain",
        "Of the same: `plain` for a terminal, `json` for a machine (docker-compose.yml sets it)",
    ),
    Setting(
        "METRICS_TOKEN",
        kinds.HEADER,
        "",
        "Who sends it as `Authorization: Bearer …` may read `/metrics`. Without it, this machine "
        "alone",
        secret=True,
    ),
    Setting(
        "WORKER_METRICS_PORT",
        kinds.whole(0, PORTS[1]),
        0,
        "The port at which a worker has a `/metrics` of its own: titles, assessments and what "
        "else its jobs ask of models. `0`: none",
        example="9108",
    ),
    Setting(
        "DEMO",
        kinds.BOOLEAN,
        OFF,
        "The demo: sample accounts and data, this machine only. `make run` sets it",
    ),
    Setting(
        "ENV_FILE",
        kinds.FILE,
        Computed("`.env`", lambda values: BASE_DIR / ".env"),
        "The file that settings are read from besides the environment, which alone may name it",
    ),
)

GROUPS = {
    "The upstream": UPSTREAM,
    "Where the gateway answers": ADDRESS,
    "What it keeps, and where": STORAGE,
    "How much it carries": LIMITS,
    "People": PEOPLE,
    "Titles and assessments": CONVERSATIONS,
    "A security vendor's API that closed calls are sent to": SUBMISSIONS,
    "Notices to people and to a webhook": NOTICES,
    "Operation": OPERATION,
}
SETTINGS = {setting.name: setting for group in GROUPS.values() for setting in group}
ENVIRONMENT_ONLY = ("ENV_FILE",)  # it does nothing in the file that it names
# What docker-compose alone reads from the same .env: how its names begin.
COMPOSE = ("POSTGRES_PASSWORD", "GATEWAY_MEMORY", "DATABASE_MEMORY", "COMPOSE_", "DOCKER_")
